"""A stored definition as clients see it."""

from __future__ import annotations

from channels.templates import gaps
from inbox.templates.repository import TemplateRow
from inbox.templates.schemas import ButtonView, HeaderView, TemplateView


def view(row: TemplateRow) -> TemplateView:
    template = row.template
    header = template.header
    return TemplateView(
        id=row.id,
        kind=row.kind,
        owner=row.owner,
        name=template.name,
        language=template.language,
        status=template.status,
        category=template.category,
        quality=template.quality,
        reason=template.reason,
        header=None if header is None else HeaderView(header.kind, header.text),
        body=template.body,
        footer=template.footer,
        buttons=[
            ButtonView(
                b.kind, b.title, b.url, b.phone, b.kind == "copy_code" or (b.kind == "url" and bool(gaps(b.url)))
            )
            for b in template.buttons
        ],
        header_variables=list(gaps(None if header is None else header.text)),
        body_variables=list(gaps(template.body)),
        removed_at=row.removed_at,
        updated_at=row.updated_at or row.created_at,
    )

"""Simulated customers with something to say: short conversations in several languages, for a demo that looks alive.

Each opens with a line of its script, and goes on with the next one a moment after the business has answered.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

from channels.simulator.schemas import ChatterWish, CustomerRef, SayKind, SayWish
from channels.simulator.simulation import Simulation
from channels.simulator.world import Account, Customer, Message

Line = tuple[SayKind, str]
PAUSE = (1.5, 6.0)
"""Seconds a customer takes to read and answer."""


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    username: str
    language: str
    phone: str
    lines: tuple[Line, ...]


SCRIPTS = (
    Script("Ann Baker", "annbaker", "en", "15551230001", (
        ("text", "Hi! Is the blue jacket still available in M?"), ("image", "This one 👆"),
        ("text", "Perfect, can I pick it up on Saturday?"), ("text", "Great, thank you so much 🙏"),
    )),
    Script("Jonas Weber", "jonas.weber", "de", "4915123456781", (
        ("text", "Guten Tag, meine Bestellung A-1042 ist noch nicht angekommen. Können Sie bitte nachsehen?"),
        ("document", "Hier die Bestätigung"), ("text", "Ah, verstehe. Dann warte ich bis Freitag."),
        ("text", "Schöne Grüße aus Köln!"),
    )),
    Script("Lucía Fernández", "luciafdez", "es", "34612345678", (
        ("text", "¡Hola! ¿Hacen envíos a Canarias?"), ("location", ""), ("text", "¿Y cuánto tarda más o menos?"),
        ("text", "Genial, lo pido ahora mismo 😊"),
    )),
    Script("Camille Durand", "camille.d", "fr", "33612345678", (
        ("text", "Bonjour, le colis est arrivé abîmé… que dois-je faire ?"), ("image", "Voici une photo du carton"),
        ("voice", ""), ("text", "Merci beaucoup pour votre aide !"),
    )),
    Script("Yuki Tanaka", "yuki_t", "ja", "819012345678", (
        ("text", "こんにちは。営業時間を教えていただけますか？"), ("text", "日曜日も開いていますか？"),
        ("sticker", ""), ("text", "ありがとうございます！"),
    )),
    Script("Omar Haddad", "omarh", "ar", "971501234567", (
        ("text", "مرحبا، هل يمكنني تغيير عنوان التوصيل؟"), ("location", ""), ("text", "شكراً جزيلاً"),
    )),
    Script("Olena Koval", "olena.koval", "uk", "380501234567", (
        ("text", "Добрий день! Чи є у вас подарункові сертифікати?"), ("text", "На яку суму можна замовити?"),
        ("text", "Чудово, дякую 💛💙"),
    )),
    Script("Rafael Souza", "rafasouza", "pt", "5511912345678", (
        ("text", "Oi! Vocês aceitam Pix?"), ("text", "Posso mandar o comprovante por aqui?"), ("document", "Recibo"),
        ("text", "Valeu! 🙌"),
    )),
    Script("Mia Lindqvist", "mialind", "sv", "46701234567", (
        ("text", "Hej! Jag behöver hjälp att byta storlek på skorna."), ("image", "De här"), ("contact", ""),
        ("text", "Tack snälla!"),
    )),
    Script("Arjun Patel", "arjunp", "en", "919812345678", (
        ("text", "Hello, my invoice shows the wrong company name."), ("document", "Invoice attached"),
        ("text", "Could you also send me a copy by e-mail?"), ("text", "Thanks, that was quick 👏"),
    )),
)  # fmt: skip


@dataclass(slots=True)
class _Thread:
    account: Account
    reference: CustomerRef
    script: Script
    next_line: int = 0
    waiting: bool = False
    """For the business to answer."""


@dataclass(slots=True)
class Chatter:
    simulation: Simulation
    say: Callable[[SayWish], object]
    _task: asyncio.Task[None] | None = None
    _threads: dict[tuple[str, str], _Thread] = field(default_factory=dict)
    _wish: ChatterWish = field(default_factory=lambda: ChatterWish(per_minute=0))
    said: int = 0

    def __post_init__(self) -> None:
        self.simulation.listeners.append(self._answered)

    def start(self, wish: ChatterWish) -> None:
        self.stop()
        self._wish = wish
        if wish.per_minute > 0:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._threads.clear()

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def _run(self) -> None:
        chance = self.simulation.chance
        while True:
            accounts = self._accounts()
            if accounts:
                self._open(chance.choice(accounts), chance)
            await asyncio.sleep(60.0 / self._wish.per_minute * chance.uniform(0.6, 1.4))

    def _accounts(self) -> list[Account]:
        known = self.simulation.world.accounts
        if not self._wish.account_ids:
            return list(known.values())
        return [known[each] for each in self._wish.account_ids if each in known]

    def _open(self, account: Account, chance: random.Random) -> None:
        """Somebody new writes, or somebody whose conversation is over begins another."""
        number = chance.randrange(self._wish.customers)
        script = SCRIPTS[number % len(SCRIPTS)]
        reference = _reference(account, script, number // len(SCRIPTS))
        customer = self.simulation.meet(account, reference)
        thread = self._threads.get((account.account_id, customer.id))
        if thread is None or thread.next_line >= len(script.lines):
            thread = _Thread(account, reference, script)
            self._threads[account.account_id, customer.id] = thread
        self._speak(thread)

    def _speak(self, thread: _Thread) -> None:
        if thread.next_line >= len(thread.script.lines):
            return
        kind, text = thread.script.lines[thread.next_line]
        if kind in ("sticker", "contact", "location") and thread.account.kind == "instagram":
            kind, text = "text", "🙂"  # Instagram delivers no stickers and knows no places
        if kind == "contact" and thread.account.kind == "messenger":
            kind, text = "text", "+46 70 123 45 67"
        thread.next_line += 1
        thread.waiting = True
        self.said += 1
        self.say(SayWish(account_id=thread.account.account_id, customer=thread.reference, kind=kind, text=text or None))

    def _answered(self, account: Account, customer: Customer, message: Message) -> None:
        thread = self._threads.get((account.account_id, customer.id))
        if not self.running or thread is None or not thread.waiting:
            return
        thread.waiting = False
        pause = self.simulation.chance.uniform(*PAUSE)
        # Not a wait of the outbox: flushing webhooks must not hurry people.
        asyncio.get_running_loop().call_later(pause, self._go_on, thread)

    def _go_on(self, thread: _Thread) -> None:
        if self.running:
            self._speak(thread)


def _reference(account: Account, script: Script, generation: int) -> CustomerRef:
    """The same person at every start, so that a demo that is restarted goes on with the same contacts."""
    suffix = f" {generation + 1}" if generation else ""
    if account.kind == "whatsapp":
        phone = f"{script.phone[:-2]}{(int(script.phone[-2:]) + generation) % 100:02d}" if generation else script.phone
        return CustomerRef(id=phone, phone=phone, name=script.name + suffix, username=script.username + suffix.strip())
    number = f"{crc32(script.username.encode()) % 10**8 + generation * 10**8:010d}"
    person_id = f"7{number[1:]}" if account.kind == "telegram" else f"71{account.account_id[-4:]:0>4}{number}"
    return CustomerRef(
        id=person_id, name=script.name + suffix, username=script.username + suffix.strip(), language=script.language
    )

"""One item that waits for its run."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from splitfer.cloud_server.admission.account import Account, current_account
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import SplitFerError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class QueuedItem(Generic[Item, Result]):
    """An item with its deadline, when it came, whose it is, and what it resolves to."""

    deadline: Deadline
    item: Item
    submitted_s: float
    future: asyncio.Future[Result]
    account: Account = field(default_factory=current_account)
    context: Context = field(default_factory=copy_context)  # so that the log names its request

    def fail(self, error: SplitFerError) -> None:
        """Resolve it to an error, unless it has been resolved."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # marks it as seen: its owner may have gone, and need not ask

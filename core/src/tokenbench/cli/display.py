"""Progress displays: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import structlog

from .streams import is_dumb

if TYPE_CHECKING:
    from tokenbench.api import EvalOutcome, PointResult
    from tokenbench.load.worker_handle import Progress
    from tokenbench.run.progress import ProgressDisplay, Step

_LINE_EVERY_S = 5.0


def configure_logging() -> None:
    """Log structured lines to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "event"], bool_as_flag=False
            ),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


class Lines:
    """One line per event, for logs and pipes."""

    def __init__(self) -> None:
        self._log: Any = structlog.get_logger()
        self._said = 0.0
        self._step: Step | None = None

    def note(self, message: str, **facts: object) -> None:
        """Log a line."""
        self._log.info(message, **facts)

    def starting(self, phase: str) -> None:
        """Log what a server that starts does, every few seconds."""
        if time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            self._log.info("starting", phase=phase)

    def step(self, step: Step) -> None:
        """A phase begins."""
        self._step = step
        self._said = time.monotonic()
        eta = {} if step.left_s is None else {"left_s": round(step.left_s)}
        self._log.info(
            "measuring",
            point=f"{step.number}/{step.points}",
            load=step.label,
            phase=step.phase,
            **eta,
        )

    def progress(self, progress: Progress) -> None:
        """Log progress every few seconds."""
        if time.monotonic() - self._said >= _LINE_EVERY_S and self._step is not None:
            self._said = time.monotonic()
            self._log.info(
                "progress",
                load=self._step.label,
                phase=self._step.phase,
                requests=progress.turns,
                failed=progress.failed,
                tok_s=round(progress.tokens / max(progress.elapsed_s, 1e-9), 1),
            )

    def point(self, result: PointResult) -> None:
        """A point's result is on disk."""
        rate = result.mean("output_tok_s.steady")
        shown = {} if rate is None else {"output_tok_s": round(rate, 1)}
        self._log.info(
            "point",
            load=result.level.label,
            state=str(result.state),
            measurement=str(result.measurement),
            **shown,
        )

    def asked(self, name: str, done: int, total: int | None) -> None:
        """An eval has more answers."""
        if done == total or time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            self._log.info("eval", name=name, asked=done, total=total)

    def outcome(self, outcome: EvalOutcome) -> None:
        """An eval's outcome is on disk."""
        self._log.info(
            "eval done",
            name=outcome.eval,
            score=None if outcome.value is None else round(outcome.value, 3),
            n=outcome.n,
            accuracy=str(outcome.accuracy),
        )


class Live:
    """A progress bar, and lines above it that stay."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None, detail="")
        self._step: Step | None = None

    def __enter__(self) -> Live:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, message: str, **facts: object) -> None:
        """A line that stays."""
        from rich.text import Text

        line = "  ".join([message, *(f"{key}={value}" for key, value in facts.items())])
        self._console.print(Text(line, style="dim"))

    def starting(self, phase: str) -> None:
        """Show what a server that starts does."""
        from rich.markup import escape

        self._bar.update(self._task, description="starting", total=None, detail=escape(phase))

    def step(self, step: Step) -> None:
        """A phase begins."""
        from rich.markup import escape

        self._step = step
        text = f"point {step.number}/{step.points}  {step.label}  {step.phase}"
        total = step.expected_turns or step.expected_s
        self._bar.reset(self._task, total=total, description=escape(text), detail="")

    def progress(self, progress: Progress) -> None:
        """Update the bar."""
        step = self._step
        if step is None:
            return
        rate = progress.tokens / max(progress.elapsed_s, 1e-9)
        left = ""
        if step.left_s is not None:
            seconds = max(0.0, step.left_s - progress.elapsed_s)
            left = f"  ETA {int(seconds // 60)}:{int(seconds % 60):02d}"
        failed = f"  {progress.failed} failed" if progress.failed else ""
        self._bar.update(
            self._task,
            completed=progress.turns if step.expected_turns else progress.elapsed_s,
            detail=f"{progress.turns} requests  {rate:.0f} tok/s{failed}{left}",
        )

    def point(self, result: PointResult) -> None:
        """A point's result is on disk."""
        rate = result.mean("output_tok_s.steady")
        shown = "-" if rate is None else f"{rate:.1f} tok/s"
        self.note(f"{result.level.label}: {shown}, {result.measurement}")

    def asked(self, name: str, done: int, total: int | None) -> None:
        """An eval has more answers."""
        self._bar.update(
            self._task, description=f"eval {name}", total=total, completed=done, detail=f"{done}"
        )

    def outcome(self, outcome: EvalOutcome) -> None:
        """An eval's outcome is on disk."""
        score = "not asked" if outcome.value is None else f"{outcome.value:.3f} of {outcome.n}"
        self.note(f"eval {outcome.eval}: {score}, {outcome.accuracy}")


def display() -> ProgressDisplay:
    """The live display on a terminal that can move its cursor, plain lines elsewhere."""
    return Live() if sys.stderr.isatty() and not is_dumb() else Lines()

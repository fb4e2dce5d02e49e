"""The command `emosh`: registers the commands; the one place where an error becomes an exit code."""

import errno
import os
import sys
from typing import Annotated

# Before torch loads: idle OpenMP threads sleep instead of spinning. Alone on a machine it costs nothing;
# beside another busy process the tracker's many small operations run several times faster.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import typer
from typer.core import TyperGroup

from emosh_cli import (
    animate,
    doctor,
    export,
    filter_clips,
    init,
    inspect,
    interrupt,
    models,
    render_cond,
    retarget,
    status,
    synth,
    track,
    train,
)
from emosh_cli import eval as evaluation
from emosh_core.errors import ArtifactError, DeviceError, EmoshError

INTERRUPTED = 130

CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""What the system says when a disk is full or a place may not be written."""


class EmoshGroup(TyperGroup):
    """Turns errors that a user can act on into a message and an exit code; bugs keep their traceback."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except EmoshError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None
        except (KeyboardInterrupt, typer.Abort):
            print("interrupted; resumable: run the same command again", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            print(f"error: {_cannot_write(error)}", file=sys.stderr)
            raise SystemExit(ArtifactError.exit_code) from None
        except MemoryError as error:
            print(
                f"error: {DeviceError('out of memory', found=str(error), fix='close programs or use a smaller size')}",
                file=sys.stderr,
            )
            raise SystemExit(DeviceError.exit_code) from None


app = typer.Typer(
    cls=EmoshGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

for name, command in {
    "track": track.track,
    "retarget": retarget.retarget,
    "render-cond": render_cond.render_cond,
    "animate": animate.animate,
    "train": train.train,
    "eval": evaluation.evaluate,
    "export": export.export,
    "synth": synth.synth,
    "filter": filter_clips.filter_clips,
    "init": init.init,
    "status": status.status,
    "inspect": inspect.inspect,
    "doctor": doctor.doctor,
}.items():
    app.command(name)(command)
app.add_typer(models.app, name="models")


def _cannot_write(error: OSError) -> ArtifactError:
    found = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    fix = "check permissions and free space; the same command continues"
    return ArtifactError("cannot read or write a file", found=found, fix=fix)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"emosh {version('emosh')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
):
    """Make the person in a still move like the person in a video.

    Start with: emosh init ws && emosh track CLIP.mp4 -o ws && emosh animate ws --ref STILL.jpg
    """


def main() -> None:
    """Run the command line."""
    interrupt.install()
    app()

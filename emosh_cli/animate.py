"""`emosh animate`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options

QUESTION = "Do the people shown in the still and in the clip agree to this use?"

Chunks = Annotated[
    str,
    typer.Option(
        "--chunks",
        metavar="auto|N|FRAMESf",
        help="auto: all, each as long as suits clip and device; N: the first N; 77f: all, 77 frames each.",
    ),
]
Workspaces = Annotated[
    list[Path],
    typer.Argument(metavar="WORKSPACE…", help="Workspace folders; the current one by default.", show_default=False),
]
References = Annotated[
    list[Path],
    typer.Option("--ref", metavar="IMAGE", help="Still of who is to move; may be repeated.", show_default=False),
]


def animate(
    workspaces: Workspaces = [],  # noqa: B006 (typer copies it)
    references: References = [],  # noqa: B006
    out: options.Out = None,
    codec: options.Codec = "auto",
    audio: options.Audio = False,
    background: options.Background = "keep",
    generator: options.Generator = None,
    profile: options.Profile = None,
    lora: options.Lora = [],  # noqa: B006 (typer copies it)
    prompt: options.Prompt = None,
    chunks: Chunks = "auto",
    shard: options.Shard = None,
    consent: Annotated[bool, typer.Option("--i-have-consent", help="Confirm that the people shown agree.")] = False,
    motion: options.Motion = None,
    contacts: options.Contacts = None,
    workspace_option: options.WorkspaceOption = None,
    config: options.Config = None,
    overrides: options.Set = [],  # noqa: B006
    device: options.Device = "auto",
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Make the person in a still move like the person in the tracked clip; runs whatever is missing.

    Several workspaces or stills are as many clips, each still in each workspace; `--shard 2/4` makes every fourth of
    them from the second on. One that fails does not stop the others.

    Example: emosh animate ws --ref still.jpg --i-have-consent -o result.mp4
    """
    from emosh_cli.jobs import run_jobs
    from emosh_cli.session import Session, find_workspace, required
    from emosh_core.line import with_settings
    from emosh_core.shards import parse_shard

    stills = required(references or None, "a still of the person", "--ref IMAGE")
    pairs = [(place, still) for place in workspaces or [None] for still in stills]
    _one_place(out, len(pairs))

    said = {"generator": generator, "profile": profile, "loras": tuple(lora) or None, "prompt": prompt}

    def prepare(place: Path | None, still: Path):
        session = Session(
            find_workspace(place, workspace_option), "animate", config=config, overrides=overrides, device=device,
            force=force, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose,
        )  # fmt: skip
        session.settings = with_settings(session.settings, "animate", **said, **_chunks(chunks))
        session.settings = with_settings(session.settings, "retarget", contacts=contacts)
        step = session.line.whole(still, motion)
        delivery = _delivery(session, motion, out, codec=codec, audio=audio, background=background)
        if not dry_run:
            _confirm(session.workspace, consent)
        return session, step, lambda artifact: {"video": str(_deliver(session, artifact, delivery))}

    run_jobs(prepare, pairs, parse_shard(shard), dry_run=dry_run, json=json)


def _one_place(out: Path | None, clips: int) -> None:
    """Refuse one place for several clips."""
    from emosh_core.errors import ConfigError

    if out is not None and clips > 1:
        fix = "leave out -o: each clip lies in its workspace's media/, and --json says where"
        raise ConfigError("-o is for one clip", found=f"{clips} clips", fix=fix)


def _chunks(text: str) -> dict[str, int]:
    """Return the settings that `--chunks` means; none for `auto`."""
    from emosh_core.errors import ConfigError

    if text == "auto":
        return {}
    number = text.removesuffix("f")
    if not (number.isascii() and number.isdecimal()) or int(number) < 1:
        fix = "--chunks auto, 3 (the first three) or 77f (77 frames each)"
        raise ConfigError("--chunks takes `auto`, a number of chunks or frames per chunk", found=text, fix=fix)
    return {"chunks" if number == text else "window": int(number)}


def _confirm(workspace, consent: bool) -> None:
    """Ask once per workspace; a script confirms by option."""
    from emosh_core.errors import ConfigError

    if workspace.has_consent():
        return
    if consent:
        workspace.record_consent("--i-have-consent")
    elif sys.stdin.isatty() and sys.stderr.isatty():
        if not typer.confirm(QUESTION, err=True):
            raise ConfigError("without the consent of the people shown nothing is made", fix="ask them")
        workspace.record_consent("asked")
    else:
        raise ConfigError(
            "consent of the people shown is not confirmed", found="no terminal to ask on", fix="--i-have-consent"
        )


def _delivery(session, motion: Path | None, out: Path | None, **form):
    """Return in which form the clip is handed out, if it is; wishes that cannot be met end here, before the work."""
    from emosh_core.errors import ConfigError

    if out is None:
        if form != {"codec": "auto", "audio": False, "background": "keep"}:
            found = ", ".join(f"{name} = {value}" for name, value in form.items())
            raise ConfigError("a place for the result is needed", found=found, fix="-o FILE.mp4")
        return None
    from emosh_core.export import Delivery
    from emosh_core.sound import check_sound

    delivery = Delivery(out=out, **form)
    if delivery.audio:
        line = session.line
        check_sound(line.source(line.take(line.driver(motion))))
    return delivery


def _deliver(session, artifact: Path, delivery) -> Path:
    """Return where the video lies, and write it where else it is wanted."""
    from emosh_core.errors import ArtifactError
    from emosh_core.workspace.artifact import read_header

    if delivery is None:
        return session.workspace.root / read_header(artifact)["values"]["video"]
    from emosh_core.export import export, panels_of

    try:
        with session.console.progress("export") as progress:
            export(panels_of(session.line, artifact), delivery, progress)
    except OSError as error:
        what, fix = f"cannot write {delivery.out}", "choose another place with -o"
        raise ArtifactError(what, found=str(error), fix=fix) from error
    return delivery.out

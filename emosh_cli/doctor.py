"""`emosh doctor`."""

from emosh_cli import options


def doctor(
    workspace_option: options.WorkspaceOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Say what works on this machine, and the command that fixes the rest.

    Example: emosh doctor
    """
    from emosh_cli.console import print_json, print_table
    from emosh_core.diagnosis import diagnose

    checks = [vars(check) for check in diagnose(workspace_option)]
    if json:
        print_json({"checks": checks, "ok": all(check["state"] != "broken" for check in checks)})
        return
    print_table(["what", "state", "found", "fix"], [list(check.values()) for check in checks])

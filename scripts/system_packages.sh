#!/usr/bin/env bash
# MediaPipe and OpenCV load three system libraries that a bare Debian lacks; `venv` is a package there too.
set -euo pipefail
PYTHON=${PYTHON:-python3}

missing=()
have() { "$PYTHON" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null; }
have libGL.so.1 || missing+=(libgl1)
have libEGL.so.1 || missing+=(libegl1)
have libgthread-2.0.so.0 || missing+=(libglib2.0-0)
"$PYTHON" -c "import ensurepip" 2>/dev/null || missing+=(python3-venv)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
else
    echo "error: system libraries are missing" >&2
    echo "  found: no ${missing[*]}" >&2
    echo "  fix:   sudo apt-get install ${missing[*]}" >&2
    exit 1
fi

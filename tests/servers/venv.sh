# Servers that come from PyPI. Sourced by their scripts.

# The Debian package that is missing for that, if any.
venv_packages() { python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv; }

# venv NAME VERSION REQUIREMENT: the folder of an environment that has it, made once and kept by its version.
venv() {
    local folder=${XDG_CACHE_HOME:-$HOME/.cache}/runsheet/$1-$2
    mkdir -p "$(dirname "$folder")"
    (
        flock 9
        if [ ! -e "$folder/complete" ]; then
            python3 -m venv --clear "$folder"
            "$folder/bin/pip" install --quiet --disable-pip-version-check "$3"
            touch "$folder/complete"
        fi
    ) 9>"$folder.lock" >&2
    echo "$folder"
}

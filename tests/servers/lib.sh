# What the scripts of the servers share. Sourced by them; `folder` is where everything of a server goes.

# A port of loopback that is free now.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# started PID: to be stopped by `down`.
started() { echo "$1" >>"$folder/pids"; }

# until_ready SECONDS COMMAND…: asks until the command succeeds.
until_ready() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "not ready in time: $*" >&2
            return 1
        fi
        sleep 0.1
    done
}

# answer NAME JSON: where it is, for the tests; written last, in one go.
answer() { echo "$2" >"$folder/.$1.json" && mv "$folder/.$1.json" "$folder/$1.json"; }

# How a PostgreSQL server is started; for the scripts of those that need one. Sourced after lib.sh.

# The newest version that is installed.
postgres_bin() { ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1; }

# as_postgres COMMAND…: in the place of this shell, since PostgreSQL does not run as root. The process id stays, which `down` needs.
as_postgres() { if [ "$(id -u)" = 0 ]; then exec setpriv --reuid postgres --regid postgres --init-groups -- "$@"; else exec "$@"; fi; }

# certificate FOLDER: an authority, ca.pem, and what it has signed for localhost, server.pem and server.key.
certificate() {
    (
        cd "$1"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=tests" -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >server.ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem
    ) >&2
    [ "$(id -u)" != 0 ] || chown -R postgres "$1"
}

# start_postgres FOLDER PORT: with the databases and roles of the tests; every password is `opensesame`.
# `runsheet` sees whose all connections are, `stranger` does not; `ticket_service` and `reporting` are those who hold them.
start_postgres() {
    local dir=$1 port=$2 bin
    bin=$(postgres_bin)
    mkdir "$dir"
    certificate "$dir"
    echo opensesame >"$dir/password"
    [ "$(id -u)" != 0 ] || chown postgres "$dir" "$dir/password"
    (as_postgres "$bin/initdb" --no-sync -D "$dir/data" -U postgres -A scram-sha-256 --pwfile="$dir/password" -E UTF8 --locale=C >&2)
    as_postgres "$bin/postgres" -D "$dir/data" -k "$dir" -p "$port" -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off \
        -c full_page_writes=off -c ssl=on -c ssl_cert_file="$dir/server.pem" -c ssl_key_file="$dir/server.key" &
    started $!
    export PGPASSWORD=opensesame
    until_ready 20 "$bin/psql" -h 127.0.0.1 -p "$port" -U postgres -c 'SELECT 1'
    "$bin/psql" -qv ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres >&2 <<'SQL'
CREATE ROLE runsheet LOGIN PASSWORD 'opensesame' IN ROLE pg_monitor;
CREATE ROLE stranger LOGIN PASSWORD 'opensesame';
CREATE ROLE ticket_service LOGIN PASSWORD 'opensesame';
CREATE ROLE reporting LOGIN PASSWORD 'opensesame';
CREATE DATABASE tickettoken OWNER runsheet;
CREATE DATABASE analytics OWNER reporting;
SQL
}

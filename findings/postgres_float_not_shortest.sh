#!/bin/sh
# PostgreSQL 15.18, Debian's package postgresql-15.
#
# Since version 12, a double is written in its "shortest precise decimal representation". One would
# guess that it is what Python's repr() and writers of JSON print. But an output is never exactly
# half way between two doubles (section 8.1.3 of its documentation says so in a bracket), so some
# numbers have one digit or more besides, although PostgreSQL reads the shorter text as the same
# double. So its text of a number can't be compared with that of a client: the run store shortens it
# (lcft_number in langchain_finetune/local/store/postgres/functions.py).
#
# Output seen, 2026-11-30:
#   written: 8.317212589109199e+17
#   the shorter one is the same: t
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
folder=$(mktemp -d)
as=""
if [ "$(id -u)" = 0 ]; then
    # The server refuses to run as root.
    chown nobody "$folder"
    as="setpriv --reuid=nobody --clear-groups"
fi
trap '$as "$bin/pg_ctl" -D "$folder/data" -m immediate stop > /dev/null; rm -rf "$folder"' EXIT
cd "$folder"
$as "$bin/initdb" -D "$folder/data" -U tester -A trust --no-sync > /dev/null
$as "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/log" \
    -o "-k $folder -c listen_addresses= -c fsync=off" start > /dev/null
ask() { "$bin/psql" -h "$folder" -U tester -d postgres -At -c "$1"; }
written=$(ask "SELECT 8.3172125891092e+17::double precision")
same=$(ask "SELECT 8.3172125891092e+17::double precision = $written::double precision")
echo "written: $written"
echo "the shorter one is the same: $same"
[ "$written $same" = "8.317212589109199e+17 t" ] || { echo "The behaviour has changed." >&2; exit 1; }

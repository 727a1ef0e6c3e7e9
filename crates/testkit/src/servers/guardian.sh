# Guards one server: starts and signals it as the lines of its standard input say, and ends it when
# that input ends, which it does with the process that holds the other end, however that ended.
#
# usage: sh guardian.sh SIGNAL DIRECTORY COMMAND…
# SIGNAL ends the server, DIRECTORY is removed behind it. Each line is answered by one line.
signal=$1 directory=$2 pid=
shift 2

# The system hangs up on a group that has a stopped member and no parent outside any more.
trap '' HUP

# The server and its processes. By their parent: a postmaster's backends have groups of their own.
all() {
    if [ -n "$pid" ]; then
        echo "$pid" $(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
    fi
}

signal_all() {
    # Word splitting is meant. A process that has ended meanwhile is no failure.
    for process in $2; do kill "-$1" "$process" 2>/dev/null; done
}

end() {
    processes=$(all)
    # The server first: it must not replace what it sees die.
    signal_all "$1" "$pid"
    if [ "$1" = KILL ]; then signal_all KILL "$processes"; fi
    signal_all CONT "$processes"
    wait "$pid" 2>/dev/null
    pid=
}

while read -r word; do
    case $word in
    start)
        "$@" </dev/null >>"$directory/log" 2>&1 &
        pid=$!
        echo "$pid"
        ;;
    kill)
        if [ -n "$pid" ]; then end KILL; fi
        echo killed
        ;;
    stop)
        # The server first: it must not start processes behind us.
        signal_all STOP "$pid"
        signal_all STOP "$(all)"
        echo stopped
        ;;
    resume)
        signal_all CONT "$(all)"
        echo resumed
        ;;
    esac
done

if [ -n "$pid" ]; then end "$signal"; fi
rm -rf "$directory"

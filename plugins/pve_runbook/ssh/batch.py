"""Many probes in one request: the runner that the node's perl executes, and the reader of its frames.

The runner is the only program text that probes are sent with; their argvs are its parameters. It has no process of its
own beside them, bounds each from its own start as timeout(1) would, and prints one frame a stream as it ends, those of
a twentieth of a second together (each write is a packet, for sshd and for who reads it):

    <id> o <base64 of stdout>      <id> e <base64 of stderr>      <id> x <exit status>

in any order. As many run at once as the node has processors, 2 to 8, in the order in which they stand: a node that is
short of everything is not asked sixty things at once. One that waits for its turn is started TURN_SECONDS after the one
before it whatever still runs, so what hangs holds up nobody for long. All run with nice 10, and so with level 6 of 7 of
the disk's (ioprio_set(2)), behind what the node is there for; not in the idle class: of a disk that is never idle
mq-deadline grants that a request in ten seconds, which is all the time that a probe has. (Corosync's real-time
scheduling comes before either.) Behind a probe's time may stand the hash of an answer that the
asker has; where the probe says just that again, this is sent in place of the three:

    <id> =

Of the login's environment a probe has PATH, HOME, USER and LOGNAME: what else is exported there (SYSTEMD_COLORS,
QUOTING_STYLE, TZ, a proxy) would change what tools say.

An exit status of 124 or 137 with an argv that does not give it by itself means that the runner ended the probe, with
SIGTERM or with SIGKILL. It is perl because Proxmox VE itself is (and perl-base is essential in Debian): a runner in
bash needs ten processes a probe.
"""

from __future__ import annotations

import binascii
import hashlib
import math
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.ssh.exec import CommandTimeout, Result, Wire, execute

RUNNER = r"""use strict;
shift;
my %kept = %ENV{grep { exists $ENV{$_} } "PATH", "HOME", "USER", "LOGNAME"};
%ENV = (%kept, "LC_ALL", "C", "LANG", "C", "TERM", "dumb");
$SIG{PIPE} = "IGNORE";
my $hashes = (grep { /^\d+=/ } @ARGV) && (grep { -e "$_/Digest/SHA.pm" } @INC) && require Digest::SHA;
open STDIN, "<", "/dev/null";
setpriority 0, 0, 10;
open my $clock, "<", "/proc/uptime" or die "/proc/uptime: $!\n";
sub now { sysseek $clock, 0, 0; sysread $clock, my $text, 64; (split " ", $text)[0] }
my ($held, $sent) = ("", 0);
sub tell_client { $held .= "@_\n" }
sub send_held {
  for (my $at = 0; $at < length $held;) { $at += syswrite(STDOUT, $held, length($held) - $at, $at) || last }
  ($held, $sent) = ("", $_[0]);
}
sub base64 {
  my $text = pack "u", $_[0];
  $text =~ s/^.//mg;
  $text =~ tr{` -_\n}{AA-Za-z0-9+/}d;
  my $pad = -length($_[0]) % 3;
  substr($text, -$pad) = "=" x $pad if $pad;
  return $text;
}
sub start {
  my ($id, $time, @argv) = @_;
  my ($seconds, $seen) = split "=", $time;
  my (%from, %to);
  for ("o", "e") { pipe $from{$_}, $to{$_} or die "pipe: $!\n" }
  my $pid = fork;
  die "fork: $!\n" if !defined $pid;
  if ($pid) {
    my $probe = {id => $id, pid => $pid, end => now() + $seconds, from => \%from, got => {}};
    $probe->{seen} = $seen if $seen && $hashes;
    return $probe;
  }
  setpgrp;
  $SIG{PIPE} = "DEFAULT";
  open STDOUT, ">&", $to{o};
  open STDERR, ">&", $to{e};
  exec { $argv[0] } @argv;
  my $status = $! == 2 ? 127 : 126;
  syswrite STDERR, "$argv[0]: $!\n";
  exit $status;
}
sub answer {
  my ($probe, $kind, $said) = @_;
  $probe->{said}{$kind} = $said;
  my ($o, $e, $x) = @{$probe->{said}}{"o", "e", "x"};
  if ($probe->{seen}) {
    return if !(defined $o && defined $e && defined $x);
    my $hash = Digest::SHA::sha256_hex("$x ", length $e, "\n", $e, $o);
    return tell_client($probe->{id}, "=", "") if $hash eq $probe->{seen};
  }
  for (keys %{$probe->{said}}) {
    my $text = delete $probe->{said}{$_};
    tell_client($probe->{id}, $_, $_ eq "x" ? $text : base64($text));
  }
}
sub take {
  my ($probe, $kind) = @_;
  return if sysread $probe->{from}{$kind}, $probe->{got}{$kind}, 65536, length($probe->{got}{$kind} // "");
  delete $probe->{from}{$kind};
  answer($probe, $kind, delete($probe->{got}{$kind}) // "");
}
sub see_to {
  my ($probe, $now) = @_;
  if (waitpid($probe->{pid}, 1) > 0) {
    my $status = $probe->{kills} ? (0, 124, 137)[$probe->{kills}] : $? & 127 ? 128 + ($? & 127) : $? >> 8;
    answer($probe, "x", $status);
    delete $probe->{pid};
  } elsif ($now >= $probe->{end}) {
    kill $probe->{kills}++ ? "KILL" : "TERM", -$probe->{pid};
    $probe->{end} = $probe->{kills} < 2 ? $now + 2 : 9**99;
  }
}
sub processors {
  open my $file, "<", "/proc/stat" or return 2;
  my $count = grep { /^cpu\d/ } <$file>;
  return $count < 2 ? 2 : $count > 8 ? 8 : $count;
}
my ($most, $turn, @waiting, @probes) = (processors(), 0);
while (@ARGV) {
  my $count = shift;
  push @waiting, [splice @ARGV, 0, $count];
}
while (@waiting || @probes) {
  my ($read, $wait, $now) = ("", 3600, now());
  for my $probe (@probes) { see_to($probe, $now) if $probe->{pid} && (!%{$probe->{from}} || $now >= $probe->{end}) }
  @probes = grep { $_->{pid} || %{$_->{from}} } @probes;
  while (@waiting && (@probes < $most || $now >= $turn)) {
    push @probes, start(@{shift @waiting});
    $turn = $now + 0.5;
  }
  $wait = $turn - $now if @waiting;
  send_held($now) if length $held > 32768 || $now - $sent >= 0.05;
  $wait = 0.05 if $held ne "" && $wait > 0.05;
  for my $probe (@probes) {
    my @open = values %{$probe->{from}};
    vec($read, fileno $_, 1) = 1 for @open;
    my $until = @open ? $probe->{end} - $now : $probe->{looks}++ < 20 ? 0.0005 : 0.005;
    $wait = $until if $probe->{pid} && $until < $wait;
  }
  select($read, undef, undef, $wait < 0.0005 ? 0.0005 : $wait) > 0 or next if @probes;
  for my $probe (@probes) {
    for my $kind (keys %{$probe->{from}}) { take($probe, $kind) if vec $read, fileno $probe->{from}{$kind}, 1 }
  }
}
send_held(0);"""

KILL_AFTER_SECONDS = 2
"""What the runner grants a probe between SIGTERM and SIGKILL."""

TURN_SECONDS = 0.5
"""After which the runner starts the next probe, though as many run as it has processors."""

LEAST_AT_ONCE = 2
"""How many probes run at once on the smallest node."""

GRACE_SECONDS = 5.0
"""What the node is granted on top of its longest probe and of the turns, for starting perl and for the way back."""

_HEAD = shlex.join(["perl", "-e", RUNNER, "batch"])
_WORD = re.compile(r"""'[^']*'(?:"'"'[^']*')*|[^' ]+""")
"""A word as shlex.join() writes it."""
_ANY = ("utf-8", "surrogatepass")
_ID = re.compile(r"[a-z0-9_.:-]+")
_STATUS = re.compile(rb"[0-9]{1,3}")
_TIME = re.compile(r"([0-9]+)(?:=([0-9a-f]{64}))?")

# Linux: MAX_ARG_STRLEN with its NUL; the whole command is one argument of the login shell.
_MAX_COMMAND_BYTES = 128 * 1024 - 1

Probe = tuple[str, int, Sequence[str]]
"""Id, timeout in whole seconds, argv."""


class Same(Struct, frozen=True):
    """The answer that has this hash (:func:`answer_hash`), which the node was told of: it gives it again."""

    sha256: str


class NoAnswer(Struct, frozen=True):
    """A probe that said nothing, on a connection that is up: its fact is unknown. `why` is for people; `timed_out`
    is True where the node was given its time."""

    why: str
    timed_out: bool = False


def answer_hash(answer: Output) -> str:
    """SHA-256, in hex, by which the runner tells whether a probe says the same again: of its exit status, the length of
    what it said on standard error, that, and its standard output. (Of an answer that is no UTF-8 the
    node finds another hash, and so sends the answer whole.)"""
    err = answer.stderr.encode(*_ANY)
    digest = hashlib.sha256(b"%d %d\n%b" % (answer.exit_status, len(err), err))
    digest.update(answer.stdout.encode(*_ANY))
    return digest.hexdigest()


def batch_command(probes: Sequence[Probe], seen: Mapping[str, str] = MappingProxyType({})) -> str:
    """The one command that runs all of `probes`; `seen` is id → hash of an answer that need not be sent again.

    Raises ValueError for an unusable or repeated id, a timeout below one second, an empty argv, a NUL byte,
    no probe at all, or more than Linux takes as one command.
    """
    if not probes:
        raise ValueError("a batch without probes")
    words: list[str] = []
    ids: set[str] = set()
    for id_, seconds, argv in probes:
        if not _ID.fullmatch(id_):
            raise ValueError(f"probe id {id_!r} holds other characters than a-z 0-9 _ . : -")
        if id_ in ids:
            raise ValueError(f"probe id {id_!r} stands twice in one batch")
        if seconds < 1 or not argv or any("\0" in word for word in argv):
            raise ValueError(f"probe {id_}: {seconds} s, argv {list(argv)!r}")
        ids.add(id_)
        words += [str(2 + len(argv)), id_, f"{seconds}={seen[id_]}" if id_ in seen else str(seconds), *argv]
    command = f"{_HEAD} {shlex.join(words)}"
    if len(command.encode()) > _MAX_COMMAND_BYTES:
        raise ValueError(f"a batch of {len(probes)} probes is longer than {_MAX_COMMAND_BYTES} bytes; split it")
    return command


def read_command(command: str) -> tuple[list[Probe], dict[str, str]]:
    """The probes of a command that :func:`batch_command` made, and the hashes in it.

    Raises ValueError for any other text: what is read here is what the node's shell will read, word for word, as the
    command made of it anew is the same to the letter. (shlex.split() takes seconds over the questions to many nodes.)
    """
    if not command.startswith(_HEAD):
        raise ValueError("it does not begin with the runner")
    words = [_unquoted(word) for word in _WORD.findall(command, len(_HEAD))]
    probes: list[Probe] = []
    seen: dict[str, str] = {}
    while words:
        count = int(words[0])
        id_, time, *argv = words[1 : 1 + count]
        seconds = _TIME.fullmatch(time)
        if seconds is None:
            raise ValueError(f"{time!r} is no time")
        probes.append((id_, int(seconds[1]), argv))
        if seconds[2]:
            seen[id_] = seconds[2]
        del words[: 1 + count]
    if batch_command(probes, seen) != command:
        raise ValueError("it is not written as the runner's own commands are")
    return probes, seen


def _unquoted(word: str) -> str:
    return word[1:-1].replace("'\"'\"'", "'") if word.startswith("'") else word


class _Frames(Struct):
    """What has come of one probe."""

    stdout: bytes | None = None
    stderr: bytes | None = None
    exit_status: int | None = None

    def output(self) -> Output | None:
        if self.stdout is None or self.stderr is None or self.exit_status is None:
            return None
        return Output(self.stdout.decode("utf-8", "replace"), self.stderr.decode("utf-8", "replace"), self.exit_status)


class FrameReader:
    """Takes the runner's standard output in pieces of any size, gives the outputs of probes that are
    complete.
    """

    def __init__(self, ids: Collection[str], seen: Mapping[str, str] = MappingProxyType({})) -> None:
        self._open = {id_: _Frames() for id_ in ids}
        self._seen = seen
        self._known = frozenset(ids)
        self._rest: list[bytes] = []

    def feed(self, data: bytes) -> list[tuple[str, Output | Same]]:
        """The probes completed by `data`. Raises ParseError if a line is no frame of this batch."""
        *lines, rest = data.split(b"\n")
        if not lines:
            self._rest.append(rest)
            return []
        lines[0] = b"".join((*self._rest, lines[0]))
        self._rest = [rest]
        completed = (self._frame(line) for line in lines)
        return [item for item in completed if item is not None]

    def _frame(self, line: bytes) -> tuple[str, Output | Same] | None:
        id_, kind, begin = _head_of(line)
        frames = self._open.get(id_)
        if frames is None:
            what = "a second answer of a probe" if id_ in self._known else "something else"
            raise ParseError(f"instead of a probe's answer came {what}: {_shown(line)}; {_NOISE}")
        if kind == b"=" and begin == len(line) and id_ in self._seen and frames == _Frames():
            del self._open[id_]
            return id_, Same(self._seen[id_])
        try:
            if kind == b"o" and frames.stdout is None:
                frames.stdout = _decoded(line, begin)
            elif kind == b"e" and frames.stderr is None:
                frames.stderr = _decoded(line, begin)
            elif kind == b"x" and frames.exit_status is None and _STATUS.fullmatch(line, begin):
                frames.exit_status = int(line[begin:])
            else:
                raise ParseError(f"the answer of probe {id_} cannot be read: {_shown(line)}; {_NOISE}")
        except binascii.Error as error:
            raise ParseError(f"the answer of probe {id_} is damaged ({error}): {_shown(line)}; {_NOISE}") from error
        output = frames.output()
        if output is None:
            return None
        del self._open[id_]
        return id_, output


def _head_of(line: bytes) -> tuple[str, bytes, int]:
    """A line's first two words, and where its third begins. The third may be large: it is not copied."""
    first = line.find(b" ")
    second = line.find(b" ", first + 1)
    if first < 0 or second < 0:
        return line.decode("ascii", "replace"), b"", len(line)
    return line[:first].decode("ascii", "replace"), line[first + 1 : second], second + 1


def _decoded(line: bytes, begin: int) -> bytes:
    return binascii.a2b_base64(memoryview(line)[begin:], strict_mode=True)


def run_batch(
    connection: Wire,
    probes: Sequence[Probe],
    timeout_scale: float = 1.0,
    *,
    grace: float = GRACE_SECONDS,
    seen: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Output | Same | NoAnswer]:
    """Ask the node all of `probes` in one request; for each id, in their order, its output, that it is the one whose
    hash is in `seen`, or that there was no answer.

    `timeout_scale` multiplies every probe's timeout (up to whole seconds, at least one). The whole takes at most the
    longest of these, plus KILL_AFTER_SECONDS, plus `grace`, plus TURN_SECONDS for each that has to wait for its turn;
    what has not answered by then is NoAnswer, the rest counts. Raises ConnectionLost, OutputTooLarge, ParseError (the
    login shell prints something of its own).
    """
    scaled = [(id_, max(1, math.ceil(seconds * timeout_scale)), argv) for id_, seconds, argv in probes]
    turns = max(0, len(scaled) - LEAST_AT_ONCE) * TURN_SECONDS
    bound = max((seconds for _, seconds, _ in scaled), default=0) + KILL_AFTER_SECONDS + turns + grace
    reader = FrameReader([id_ for id_, _, _ in scaled], seen)
    answers: dict[str, Output | Same] = {}
    command = batch_command(scaled, seen)
    try:
        result = execute(
            connection,
            command,
            timeout=bound,
            on_stdout=lambda data: answers.update(reader.feed(data)),
            label=f"a batch of {len(scaled)} probes",
        )
        silence = NoAnswer(_why_incomplete(result))
    except CommandTimeout:
        silence = NoAnswer(f"no answer within {bound:g} s", timed_out=True)
    return {id_: answers.get(id_, silence) for id_, _, _ in scaled}


def _why_incomplete(result: Result) -> str:
    said = " ".join(result.stderr.decode("utf-8", "replace").split())
    status = "a signal" if result.exit_status is None else f"exit status {result.exit_status}"
    return f"the batch ended with {status} before this probe had answered" + (f": {said[:300]}" if said else "")


def _shown(line: bytes) -> str:
    text = repr(line[:120].decode("utf-8", "replace"))
    return text if len(line) <= 120 else text + "…"


_NOISE = "a ~/.bashrc that prints does this; let it print to terminals only, and run again"

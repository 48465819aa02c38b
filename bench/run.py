#!/usr/bin/env python3
"""Measures libaliot, libmosquitto and paho side by side, and prints a table.

    run.py PROGRAMS LIBRARY [SECTION...]

PROGRAMS is the directory of the bench-* programs and of mqtt_sink, LIBRARY that of libaliot.so.
BENCH=quick measures less often and less, in under three minutes. SECTIONs restrict it to some of
publish, receive, latency, connect, scale, idle, sign, size.

Every workload runs on all libraries in turn, in a new order each time, each in its own process; the
tables show medians. Ratios are within this run: the machine's mood is the same for all.
"""

import json
import os
import platform
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

QUICK = os.environ.get("BENCH") == "quick"
REPEAT = 3 if QUICK else 5
SECONDS = 0.15 if QUICK else 0.3  # that one measurement of throughput should take
QUICK_ROWS = {
    "QoS 0, 64 B", "QoS 0, 256 B", "QoS 0, 64 KiB", "QoS 1, 256 B", "QoS 1, 256 B, window 100",
    "TLS, QoS 0, 64 B", "TLS, QoS 0, 1 KiB", "TLS, QoS 1, 256 B, window 100",
}
ALL = ["aliot", "mosq", "paho", "raw"]
PEERS = ["mosq", "paho"]  # the ones to be compared with
NAMES = {"aliot": "libaliot", "mosq": "libmosquitto", "paho": "paho", "raw": "raw socket"}

programs = library = work = ""
children = []
verdicts = []


# ---- Servers ------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(arguments, port):
    """Starts a server and waits until it listens on `port`."""
    log = open(os.path.join(work, os.path.basename(arguments[0]) + ".log"), "ab")
    child = subprocess.Popen(arguments, stdout=log, stderr=log)
    children.append(child)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return child
        except OSError:
            if child.poll() is not None:
                break
            time.sleep(0.05)
    sys.exit(f"{arguments[0]} does not listen: see {log.name}")


def sink(*options, key="rsa"):
    """A sink of its own: its plain and its TLS port, and its process."""
    plain, tls = free_port(), free_port()
    child = start(
        [f"{programs}/mqtt_sink", "-q", "-p", str(plain), "-t", str(tls)]
        + ["-c", f"{work}/{key}.crt", "-k", f"{work}/{key}.key", *options],
        plain,
    )
    return {"plain": plain, "tls": tls, "child": child}


def broker():
    port = free_port()
    with open(f"{work}/mosquitto.conf", "w") as f:
        f.write(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n"
            "max_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n"
        )
    path = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    return {"plain": port, "child": start([path, "-c", f"{work}/mosquitto.conf"], port)}


def end(server):
    server["child"].send_signal(signal.SIGTERM)
    server["child"].wait()


def certificates():
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=work, check=True, capture_output=True)

    def new_key(kind):
        return ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

    with open(f"{work}/leaf", "w") as f:
        f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    bundle = ""
    for kind in ("rsa", "ecdsa"):
        ca = f"ca-{kind}"
        openssl("req", "-x509", "-newkey", *new_key(kind), "-nodes", "-days", "2",
                "-keyout", f"{ca}.key", "-out", f"{ca}.crt", "-subj", f"/CN=bench {kind}")
        openssl("req", "-newkey", *new_key(kind), "-nodes",
                "-keyout", f"{kind}.key", "-out", f"{kind}.csr", "-subj", "/CN=127.0.0.1")
        openssl("x509", "-req", "-in", f"{kind}.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key",
                "-CAcreateserial", "-days", "2", "-extfile", "leaf", "-out", f"{kind}.crt")
        with open(f"{work}/{ca}.crt") as f:
            bundle += f.read()
    with open(f"{work}/ca.crt", "w") as f:
        f.write(bundle)


# ---- One measurement ----------------------------------------------------------------------------


def run(peer, workload, timeout=30, **options):
    """Runs one program. None if it failed, which its standard error explains."""
    arguments = [f"{programs}/bench-{peer}", workload, f"--ca={work}/ca.crt"]
    arguments += [f"--{name}={value}" for name, value in options.items()]
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=timeout, text=True)
        found = json.loads(done.stdout.strip().splitlines()[-1])
        why = done.stderr.strip()[-300:] + " " + found.get("error", "")
    except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
        found, why = {"error": str(error)}, str(error)
    if "error" in found:
        print(f"failed: {' '.join(arguments[1:])}: {peer}: {why}", file=sys.stderr)
        return None
    if found.get("lost"):
        print(f"connection lost: {' '.join(arguments[1:])}: {peer}", file=sys.stderr)
    return found


def measure(workload, peers, repeat=REPEAT, each=lambda peer: {}, **options):
    """Medians of each figure, for each peer that managed it."""
    found = {peer: [] for peer in peers}
    failed = set()  # a library that stalls is not waited for again
    for _ in range(repeat):
        for peer in random.sample(peers, len(peers)):
            if peer in failed:
                continue
            if (one := run(peer, workload, **options, **each(peer))) is not None:
                found[peer].append(one)
            else:
                failed.add(peer)
    return {
        peer: {
            name: statistics.median(one[name] for one in ones)
            for name, value in ones[0].items()
            if isinstance(value, (int, float))
        }
        for peer, ones in found.items()
        if ones
    }


# ---- Tables -------------------------------------------------------------------------------------


def table(title, columns):
    print(f"\n### {title}\n\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def verdict(what, value, bound, at_most):
    """Compares with a target and remembers the answer."""
    if value is None or bound is None:
        return "not measured"
    met = value <= bound if at_most else value >= bound
    verdicts.append((what, met))
    return "met" if met else "**MISSED**"


def rate(value):
    return f"{value / 1000:,.0f}" if value >= 10_000 else f"{value / 1000:.1f}"


def us(value):
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def best_peer(found, name, pick):
    values = [found[peer][name] for peer in PEERS if peer in found]
    return pick(values) if values else None


def throughput(title, rows):
    table(
        title,
        ["workload", *(NAMES[p] for p in ALL), "rate, × best peer", "target", "",
         "CPU, of best peer's", "target", ""],
    )
    for what, workload, ports, port, options, faster, cheaper in rows:
        if QUICK and what not in QUICK_ROWS:
            continue
        options = {**options, "port": ports[port], "tls": int(port == "tls")}
        counts = {}
        for peer in ALL:  # how many messages take as long as wanted
            per_second, n = None, 100
            while n and (probe := run(peer, workload, n=n, warm=10, timeout=20, **options)):
                per_second = probe["msgs_per_s"]
                wanted = max(20, min(5_000_000, int(per_second * SECONDS)))
                # A first message costs more than the next: at most ten times as many each time.
                n = 0 if wanted <= 2 * n else min(wanted, 10 * n)
            if per_second and not n:
                counts[peer] = wanted
        found = measure(workload, list(counts), each=lambda peer: {"n": counts[peer]}, **options)
        cells = [
            f"{rate(found[p]['msgs_per_s'])} k/s, {us(found[p]['cpu_s_per_million'])} µs"
            if p in found else "failed"
            for p in ALL
        ]
        speed = cost = None
        if "aliot" in found and (best := best_peer(found, "msgs_per_s", max)):
            speed = found["aliot"]["msgs_per_s"] / best
            least = best_peer(found, "cpu_s_per_million", min)
            cost = found["aliot"]["cpu_s_per_million"] / least
        row(
            what, *cells,
            "–" if speed is None else f"{speed:.1f}", f"≥ {faster:g}" if faster else "",
            verdict(f"{what}, rate", speed, faster, False) if faster else "",
            "–" if cost is None else f"{cost:.2f}", f"≤ {cheaper:.2f}" if cheaper else "",
            verdict(f"{what}, CPU", cost, cheaper, True) if cheaper else "",
        )


# ---- Sections -----------------------------------------------------------------------------------


def pub(what, ports, port, faster, cheaper, **options):
    return (what, "pub", ports, port, options, faster, cheaper)


def publish():
    ports = sink()
    w100 = {"qos": 1, "window": 100, "inflight": 100}
    w1000 = {"qos": 1, "window": 1000, "inflight": 1000}
    throughput("Publish, against the sink (thousand messages a second, client CPU a message)", [
        pub("QoS 0, 64 B", ports, "plain", 5, 1 / 6, qos=0, size=64),
        pub("QoS 0, 256 B", ports, "plain", 5, 1 / 6, qos=0, size=256),
        pub("QoS 0, 1 KiB", ports, "plain", 3, 1 / 4, qos=0, size=1024),
        pub("QoS 0, 64 KiB", ports, "plain", 1, 1.2, qos=0, size=65536, window=50),
        pub("QoS 1, 64 B, window 100", ports, "plain", 5, 1 / 8, size=64, **w100),
        pub("QoS 1, 256 B, window 100", ports, "plain", 6, 1 / 10, size=256, **w100),
        pub("QoS 1, 256 B, window 1000", ports, "plain", 10, 1 / 15, size=256, **w1000),
        pub("QoS 1, 1 KiB, window 100", ports, "plain", 3, 1 / 6, size=1024, **w100),
        pub("QoS 1, 64 KiB, window 20", ports, "plain", 1, 1.2, size=65536,
            qos=1, window=20, inflight=20),
        pub("TLS, QoS 0, 64 B", ports, "tls", 5, 1 / 6, qos=0, size=64),
        pub("TLS, QoS 0, 256 B", ports, "tls", 3, 1 / 4, qos=0, size=256),
        pub("TLS, QoS 0, 1 KiB", ports, "tls", 2, 1 / 3, qos=0, size=1024),
        pub("TLS, QoS 0, 64 KiB", ports, "tls", 1, 1.2, qos=0, size=65536, window=50),
        pub("TLS, QoS 1, 64 B, window 100", ports, "tls", 4, 1 / 4, size=64, **w100),
        pub("TLS, QoS 1, 256 B, window 100", ports, "tls", 4, 1 / 4, size=256, **w100),
        pub("TLS, QoS 1, 1 KiB, window 100", ports, "tls", 3, 1 / 3, size=1024, **w100),
        pub("TLS, QoS 1, 64 KiB, window 20", ports, "tls", 1, 1.2, size=65536,
            qos=1, window=20, inflight=20),
    ])
    end(ports)
    ports = broker()
    throughput("Publish, against mosquitto: the broker is the limit", [
        pub("QoS 0, 256 B", ports, "plain", 1, 1, qos=0, size=256),
        pub("QoS 1, 256 B, window 100", ports, "plain", 1, 1, size=256, **w100),
    ])
    end(ports)


def receive():
    ports = sink()

    def recv(what, port, faster, qos, size, cheaper=None):
        return (what, "recv", ports, port, {"qos": qos, "size": size}, faster, cheaper)

    throughput("Receive, from the sink into the application's callback", [
        recv("QoS 0, 64 B", "plain", 10, 0, 64),
        recv("QoS 0, 256 B", "plain", 4, 0, 256),
        recv("QoS 0, 1 KiB", "plain", 4, 0, 1024),
        recv("QoS 0, 64 KiB", "plain", 1, 0, 65536),
        recv("QoS 1, 64 B", "plain", 10, 1, 64),
        recv("QoS 1, 256 B", "plain", 10, 1, 256),
        recv("QoS 1, 1 KiB", "plain", 4, 1, 1024),
        recv("TLS, QoS 0, 64 B", "tls", 1.2, 0, 64),
        recv("TLS, QoS 0, 1 KiB", "tls", 1, 0, 1024),
        recv("TLS, QoS 1, 256 B", "tls", 5, 1, 256),
    ])
    end(ports)


def latency():
    ports = broker()
    table(
        "Latency at 100 messages a second of 256 B, through mosquitto (µs, p50 / p99)",
        ["workload", *(NAMES[p] for p in ALL), "p50, × raw", "target", "", "p99, × best peer",
         "target", ""],
    )
    n = 150 if QUICK else 300
    for what, figure, options in [
        ("QoS 1 publish → PUBACK", "ack", {"qos": 1, "echo": 0}),
        ("QoS 0 own echo", "echo", {"qos": 0}),
        ("QoS 1 own echo, default socket options", "echo", {"qos": 1}),
    ]:
        nodelay = {"raw": 1}
        found = measure("rtt", ALL, repeat=1 if QUICK else 3, n=n, rate=100, port=ports["plain"],
                        each=lambda peer: {"nodelay": nodelay.get(peer, 0)}, **options)
        p50, p99 = f"{figure}_p50_us", f"{figure}_p99_us"
        cells = [f"{found[p][p50]:,.0f} / {found[p][p99]:,.0f}" if p in found else "failed" for p in ALL]
        near = tail = None
        if "aliot" in found and "raw" in found:
            near = found["aliot"][p50] / found["raw"][p50]
            tail = found["aliot"][p99] / best_peer(found, p99, min)
        row(what, *cells, f"{near:.2f}", "≤ 1.15", verdict(f"{what}, p50", near, 1.15, True),
            f"{tail:.2f}", "≤ 1", verdict(f"{what}, p99", tail, 1, True))
    end(ports)


def connect():
    table(
        "Connecting until CONNACK, one after another (p50 µs / client CPU µs)",
        ["workload", *(NAMES[p] for p in ALL), "target", ""],
    )
    n = {"aliot": 200, "mosq": 200, "paho": 30, "raw": 200}
    if QUICK:
        n = {peer: count // 4 for peer, count in n.items()}
    for what, key, port, options, bound, peers in [
        ("plain", "rsa", "plain", [], None, ALL),
        ("TLS, RSA-2048, fresh", "rsa", "tls", ["-n"], (950, 450), ALL),
        ("TLS, ECDSA P-256, fresh", "ecdsa", "tls", ["-n"], (750, None), ALL),
        ("TLS, RSA-2048, resumed", "rsa", "tls", [], (500, 287), ["aliot", "raw"]),
    ]:
        ports = sink(*options, key=key)
        opts = {"opt": "resume"} if "resumed" in what else {}
        found = measure("conn", peers, port=ports[port], tls=int(port == "tls"), **opts,
                        each=lambda peer: {"n": n[peer]})
        end(ports)
        cells = [
            f"{found[p]['conn_p50_us']:,.0f} / {found[p]['cpu_us_per_conn']:,.0f}" if p in found else "–"
            for p in ALL
        ]
        ours = found.get("aliot", {})
        if bound is None:
            bound = (best_peer(found, "conn_p50_us", min), None)
        answer = verdict(f"connect, {what}, p50", ours.get("conn_p50_us"), bound[0], True)
        if bound[1]:
            answer += ", CPU " + verdict(f"connect, {what}, CPU", ours.get("cpu_us_per_conn"), bound[1], True)
        row(what, *cells, f"≤ {bound[0]:,.0f}" + (f" / {bound[1]}" if bound[1] else ""), answer)


def scale():
    table(
        "Many connections in one process, the sink in another",
        ["workload", "library", "connections", "RSS each, KiB", "target", "", "threads",
         "all connected after, s", "CPU each, µs", "wake-ups a second, all idle", "target", ""],
    )
    kept, busy = {"plain": 4.5, "tls": 14}, {"plain": 6, "tls": 20}
    cases = [(port, "aliot", n, 0) for port in ("plain", "tls") for n in (1000, 10_000)]
    cases += [(port, "aliot", 1000 if QUICK else 10_000, 262_144) for port in ("plain", "tls")]
    cases += [("plain", "mosq", 300, 0), ("tls", "mosq", 300, 0)]
    cases += [("plain", "paho", 1000, 0), ("tls", "paho", 300 if QUICK else 1000, 0)]
    if QUICK:
        cases = [case for case in cases if case[2] <= 1000]
    for port, peer, n, traffic in cases:
        # Until what is left of connecting has died down, timers above all.
        settle = 2 if QUICK or peer != "aliot" else 12
        ports = sink("-r")
        found = run(peer, "scale", timeout=400, n=n, settle=settle, hold=3 if QUICK else 10, keepalive=1200, port=ports[port],
                    tls=int(port == "tls"), traffic=traffic)
        end(ports)
        what = f"{port}, idle" if not traffic else f"{port}, after 256 KiB each way"
        what = what.replace("tls", "TLS")
        if not found:
            row(what, NAMES[peer], f"{n:,}", "failed", *[""] * 8)
            continue
        name = f"{what}, {n} connections"
        bound, woken = (busy if traffic else kept)[port], found["idle_wakes_per_s"]
        ours = peer == "aliot"
        row(
            what, NAMES[peer], f"{found['ok']:,}", f"{found['rss_kb_per_conn']:.1f}",
            f"≤ {bound}" if ours else "",
            verdict(f"{name}, RSS", found["rss_kb_per_conn"], bound, True) if ours else "",
            str(found["threads"]), f"{found['connect_all_s']:.1f}",
            f"{found['connect_cpu_us_per_conn']:.0f}", f"{woken:.1f}",
            "≤ 1" if ours else "",
            verdict(f"{name}, wake-ups", woken, 1, True) if ours else "",
        )


def idle():
    """All at once: there is nothing to contend for."""
    ports, seconds = sink(), 15 if QUICK else 60
    table(
        f"One idle connection, watched for {seconds} s",
        ["library", "RSS plain / TLS, MB", "target", "", "threads", "wake-ups a minute", "target", ""],
    )
    jobs = {}
    for peer in ["aliot", *PEERS]:
        for port in ("plain", "tls"):
            jobs[peer, port] = subprocess.Popen(
                [f"{programs}/bench-{peer}", "scale", f"--ca={work}/ca.crt", "--n=1",
                 f"--port={ports[port]}", f"--tls={int(port == 'tls')}", f"--hold={seconds}"],
                stdout=subprocess.PIPE, text=True)
    found = {}
    for key, job in jobs.items():
        out = job.communicate()[0].strip().splitlines()
        found[key] = json.loads(out[-1]) if out else None
    end(ports)
    for peer in ["aliot", *PEERS]:
        plain, tls = found[peer, "plain"], found[peer, "tls"]
        if not plain or not tls or "rss_kb" not in plain or "rss_kb" not in tls:
            row(NAMES[peer], "failed", *[""] * 6)
            continue
        # The one who watches wakes up once, at the end.
        woken = [max(0, round(one["idle_wakes_per_s"] * seconds) - 1) * 60 / seconds for one in (plain, tls)]
        ours = peer == "aliot"
        memory = [one["rss_kb"] / 1024 for one in (plain, tls)]
        answers = [verdict("idle RSS, plain", memory[0], 2.8, True),
                   verdict("idle RSS, TLS", memory[1], 3.5, True)] if ours else []
        row(
            NAMES[peer], f"{memory[0]:.1f} / {memory[1]:.1f}", "≤ 2.8 / 3.5" if ours else "",
            " / ".join(answers), str(plain["threads"]), f"{woken[0]:.0f} / {woken[1]:.0f}",
            "0" if ours else "", verdict("idle wake-ups", max(woken), 0, True) if ours else "",
        )


def sign():
    table("Signing (ns)", ["OpenSSL HMAC()", "aliot_sign", "client id, user name and password",
                           "target", ""])
    done = subprocess.run([f"{programs}/bench-sign"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    row(f"{found['openssl_ns']:,.0f}", f"{found['aliot_ns']:,.0f}", f"{found['credentials_ns']:,.0f}",
        "< 1,000", verdict("signing", found["credentials_ns"], 1000, True))


def size():
    table("The library, stripped (MB)", ["file", "size", "target", ""])
    small = os.path.join(os.path.dirname(library.rstrip("/")), "release-small")
    for what, directory, bound in [("release", library, 1.9), ("release-small", small, 1.5)]:
        if not os.path.exists(f"{directory}/libaliot.so"):
            row(f"libaliot.so, {what}", "not built", f"≤ {bound}", "")
            continue
        subprocess.run(["strip", "-o", f"{work}/stripped", f"{directory}/libaliot.so"], check=True)
        mb = os.path.getsize(f"{work}/stripped") / 1e6
        row(f"libaliot.so, {what}", f"{mb:.2f}", f"≤ {bound}",
            verdict(f"size, {what}", mb, bound, True))


def machine():
    model = cores = memory = "?"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    with open("/proc/meminfo") as f:
        memory = f"{int(f.readline().split()[1]) / 1024 / 1024:.0f} GiB"
    cores = os.cpu_count()
    versions = []
    ports = sink()
    for peer in ALL:
        one = run(peer, "conn", n=1, port=ports["plain"])
        versions.append(one["version"] if one else f"{NAMES[peer]} failed")
    end(ports)
    load = os.getloadavg()[0]
    print(f"{time.strftime('%Y-%m-%d')}, {cores} × {model}, {memory}, "
          f"Linux {platform.release()} {platform.machine()}, loopback, load {load:.1f} at the start.\n"
          f"{'; '.join(versions)}. {'Quick mode' if QUICK else 'Full mode'}: medians of {REPEAT}.")


SECTIONS = [publish, receive, latency, connect, scale, idle, sign, size]


def main():
    global programs, library, work
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    programs, library = sys.argv[1:3]
    chosen = [s for s in SECTIONS if not sys.argv[3:] or s.__name__ in sys.argv[3:]]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aliot-bench-") as work:
        try:
            certificates()
            machine()
            for section in chosen:
                section()
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
                    child.wait()
    missed = [what for what, met in verdicts if not met]
    print(f"\n{len(verdicts) - len(missed)} of {len(verdicts)} targets met, "
          f"in {time.monotonic() - begin:.0f} s.")
    if missed:
        print("Missed: " + "; ".join(missed) + ".")


if __name__ == "__main__":
    # Ten thousand connections need as many descriptors.
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    main()

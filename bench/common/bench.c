/*
 * bench.c - the workloads, the same for every client library (see peer.h).
 *
 * Every run prints one JSON object on stdout.  Options are --name=value.
 *
 *   bench pub   --n=200000 --qos=0 --size=256 [--window=1000] [--inflight=0]
 *   bench recv  --n=200000 --qos=0 --size=256          (against mqtt_sink only)
 *   bench rtt   --n=1000 --rate=100 --size=256 --qos=1 (against a real broker)
 *   bench conn  --n=200
 *   bench idle  --seconds=75                           (sampled from outside)
 *   bench scale --n=1000 --settle=2 --hold=5 [--traffic=262144]
 *
 * Common: --host=127.0.0.1 --port=21884 --tls=0 --ca=FILE --tls12=0
 *         --keepalive=300 --nodelay=0 --opt=STRING --tag=STRING --id=STRING
 *
 * pub: at most `window` publishes are outstanding (not acknowledged / not yet
 *      written).  The clock and CPU stop when the last message is acknowledged
 *      (QoS 1) or handed to the socket (QoS 0).  QoS 0 runs then send one QoS 1
 *      publish whose PUBACK proves that the other side has read everything;
 *      tail_ms is the wait for it (about 41 ms = Nagle + delayed ACK).
 * recv: subscribes to <topic>/blast/<n>/<size>/<qos>; the clock runs from the
 *      first to the last message, CPU from just before SUBSCRIBE.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

#define TOPIC_BASE "/sys/a1B2c3D4e5F/bench-dev-000001"
#define TOPIC_PUB TOPIC_BASE "/thing/event/property/post"
#define TOPIC_FIN TOPIC_BASE "/thing/event/property/fin"

/* ------------------------------------------------------------- utilities -- */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct usage { double user, sys; long vcsw, ivcsw; };

static struct usage usage_now(void)
{
    struct rusage r;
    struct usage u;
    getrusage(RUSAGE_SELF, &r);
    u.user = (double)r.ru_utime.tv_sec + (double)r.ru_utime.tv_usec * 1e-6;
    u.sys = (double)r.ru_stime.tv_sec + (double)r.ru_stime.tv_usec * 1e-6;
    u.vcsw = r.ru_nvcsw;
    u.ivcsw = r.ru_nivcsw;
    return u;
}

static const char *g_args[64];
static int g_nargs;

static const char *arg_s(const char *name, const char *dflt)
{
    size_t n = strlen(name);
    for (int i = 0; i < g_nargs; i++)
        if (!strncmp(g_args[i], "--", 2) && !strncmp(g_args[i] + 2, name, n) &&
            g_args[i][2 + n] == '=')
            return g_args[i] + 3 + n;
    return dflt;
}

static long arg_l(const char *name, long dflt)
{
    const char *s = arg_s(name, NULL);
    return s ? atol(s) : dflt;
}

static int cmp_d(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double pct(double *v, long n, double p) /* v sorted */
{
    long i = (long)(p / 100.0 * (double)(n - 1) + 0.5);
    return n ? v[i] : 0;
}

/* ------------------------------------------------- window / completion ---- */

static struct {
    pthread_mutex_t mu;
    pthread_cond_t cv;
    atomic_long outstanding;
    atomic_long acked;
    atomic_long wake_at;   /* signal when outstanding <= wake_at; -1: nobody waits */
    atomic_long lost;
} W = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, -1, 0};

static void win_signal(void)
{
    pthread_mutex_lock(&W.mu);
    pthread_cond_broadcast(&W.cv);
    pthread_mutex_unlock(&W.mu);
}

static void win_acks(long n)
{
    long o = atomic_fetch_sub(&W.outstanding, n) - n;
    atomic_fetch_add(&W.acked, n);
    long w = atomic_load(&W.wake_at);
    if (w >= 0 && o <= w)
        win_signal();
}

/* Blocks until outstanding <= level. 0 ok, -1 timed out. */
static int win_wait(long level, int timeout_s)
{
    struct timespec t;
    int rc = 0;
    if (atomic_load(&W.outstanding) <= level)
        return 0;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += timeout_s;
    pthread_mutex_lock(&W.mu);
    atomic_store(&W.wake_at, level);
    while (atomic_load(&W.outstanding) > level && !rc)
        rc = pthread_cond_timedwait(&W.cv, &W.mu, &t);
    atomic_store(&W.wake_at, -1);
    pthread_mutex_unlock(&W.mu);
    return rc ? -1 : 0;
}

/* ------------------------------------------------------------- callbacks -- */

static atomic_long g_rx, g_rx_bytes;
static long g_rx_want;
static double g_rx_first, g_rx_last;
static atomic_int g_rx_done;
static double *g_sent_at, *g_echo_at, *g_ack_at;
static atomic_long g_ack_i;
static long g_n;

static void on_msg_count(void *ud, const char *topic, size_t tl, const void *p, size_t n)
{
    (void)ud; (void)topic; (void)tl; (void)p;
    long k = atomic_fetch_add_explicit(&g_rx, 1, memory_order_relaxed) + 1;
    atomic_fetch_add_explicit(&g_rx_bytes, (long)n, memory_order_relaxed);
    if (k == 1)
        g_rx_first = now_s();
    if (k == g_rx_want) {
        g_rx_last = now_s();
        atomic_store(&g_rx_done, 1);
        win_signal();
    }
}

static void on_msg_rtt(void *ud, const char *topic, size_t tl, const void *p, size_t n)
{
    (void)ud; (void)topic; (void)tl;
    double t = now_s();
    uint32_t seq;
    if (n < 4)
        return;
    memcpy(&seq, p, 4);
    if ((long)seq < g_n && g_echo_at[seq] == 0) {
        g_echo_at[seq] = t;
        atomic_fetch_add(&g_rx, 1);
    }
}

static void on_msg_drop(void *ud, const char *topic, size_t tl, const void *p, size_t n)
{
    (void)ud; (void)topic; (void)tl; (void)p; (void)n;
}

static void on_ack_win(void *ud) { (void)ud; win_acks(1); }
static void on_acks_win(void *ud, long n) { (void)ud; win_acks(n); }

static void on_ack_rtt(void *ud)
{
    (void)ud;
    double t = now_s();
    long i = atomic_fetch_add(&g_ack_i, 1);
    if (i < g_n)
        g_ack_at[i] = t;
}

static void on_ack_drop(void *ud) { (void)ud; }
static void on_acks_drop(void *ud, long n) { (void)ud; (void)n; }
static void on_lost(void *ud) { (void)ud; atomic_fetch_add(&W.lost, 1); }

/* ---------------------------------------------------------------- output -- */

static void json_head(const char *what, const struct peer_cfg *c)
{
    char v[128] = "";
    peer.version(v, sizeof v);
    printf("{\"peer\":\"%s\",\"version\":\"%s\",\"metric\":\"%s\",\"tag\":\"%s\",\"port\":%d,"
           "\"tls\":%d,\"tls12\":%d,\"nodelay\":%d,\"inflight\":%d,\"opt\":\"%s\"",
           peer.name, v, what, arg_s("tag", ""), c->port, c->tls, c->tls12, c->nodelay,
           c->inflight, c->opt);
}

static void json_cpu(const struct usage *a, const struct usage *b, double n)
{
    double u = b->user - a->user, s = b->sys - a->sys;
    printf(",\"cpu_user_s\":%.6f,\"cpu_sys_s\":%.6f,\"cpu_s_per_million\":%.4f,"
           "\"vcsw\":%ld,\"ivcsw\":%ld",
           u, s, (u + s) / n * 1e6, b->vcsw - a->vcsw, b->ivcsw - a->ivcsw);
}

static int fail(const char *why)
{
    printf("{\"peer\":\"%s\",\"tag\":\"%s\",\"error\":\"%s\",\"outstanding\":%ld,\"rx\":%ld,"
           "\"lost\":%ld}\n",
           peer.name, arg_s("tag", ""), why, atomic_load(&W.outstanding), atomic_load(&g_rx),
           atomic_load(&W.lost));
    fflush(stdout);
    _exit(1);
}

/* ------------------------------------------------------------- workloads -- */

/* Publishes one message, waiting as needed; counts it as outstanding. */
static void pub_one(void *h, const char *topic, const void *p, size_t len, int qos, long window)
{
    int counted = qos > 0 || peer.acks_qos0;
    if (counted && atomic_load(&W.outstanding) >= window) {
        if (peer.flush)
            peer.flush(h);
        if (win_wait(window / 2, 30))
            fail("window timeout");
    }
    if (counted)
        atomic_fetch_add(&W.outstanding, 1);
    for (int spins = 0;; spins++) {
        int rc = peer.publish(h, topic, p, len, qos);
        if (rc == 0)
            return;
        if (rc != PEER_AGAIN || spins > 3000000)
            fail("publish failed");
        /* the library's queue is full although our window is not */
        struct timespec t = {0, 20000};
        nanosleep(&t, NULL);
    }
}

/* Everything is acknowledged (QoS 1) or in the socket (QoS 0). */
static void pub_drain(void *h)
{
    if (peer.flush)
        peer.flush(h);
    if (peer.drain && peer.drain(h))
        fail("drain failed");
    if (win_wait(0, 120))
        fail("drain timeout");
}

static void pub_fin(void *h)
{
    pub_drain(h);
    pub_one(h, TOPIC_FIN, "fin", 3, 1, 1000);
    if (peer.flush)
        peer.flush(h);
    if (win_wait(0, 120))
        fail("fin timeout");
}

static int w_pub(struct peer_cfg *c)
{
    long n = arg_l("n", 200000), size = arg_l("size", 256), window = arg_l("window", 1000);
    long warm = arg_l("warm", 2000);
    int qos = (int)arg_l("qos", 0);
    struct peer_cb cb = {NULL, on_msg_drop, on_ack_win, on_acks_win, on_lost};
    char *payload = malloc((size_t)size + 1);
    memset(payload, 'x', (size_t)size);
    void *h = peer.open(c, &cb);
    if (!h)
        return fail("connect");
    for (long i = 0; i < warm; i++)
        pub_one(h, TOPIC_PUB, payload, (size_t)size, qos, window);
    pub_fin(h);

    struct usage u0 = usage_now();
    double t0 = now_s();
    for (long i = 0; i < n; i++)
        pub_one(h, TOPIC_PUB, payload, (size_t)size, qos, window);
    double t_sub = now_s();
    pub_drain(h);
    double t1 = now_s();
    struct usage u1 = usage_now();
    if (!qos)
        pub_fin(h);
    double t_fin = now_s();
    json_head("pub", c);
    printf(",\"qos\":%d,\"size\":%ld,\"n\":%ld,\"window\":%ld,\"wall_s\":%.6f,\"submit_s\":%.6f,"
           "\"tail_ms\":%.2f,\"msgs_per_s\":%.0f,\"mb_per_s\":%.1f",
           qos, size, n, window, t1 - t0, t_sub - t0, (t_fin - t1) * 1e3, (double)n / (t1 - t0),
           (double)n * (double)size / (t1 - t0) / 1e6);
    json_cpu(&u0, &u1, (double)n);
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    printf(",\"maxrss_kb\":%ld,\"lost\":%ld}\n", r.ru_maxrss, atomic_load(&W.lost));
    fflush(stdout);
    peer.close(h);
    return 0;
}

static int w_recv(struct peer_cfg *c)
{
    long n = arg_l("n", 200000), size = arg_l("size", 256);
    int qos = (int)arg_l("qos", 0);
    struct peer_cb cb = {NULL, on_msg_count, on_ack_drop, on_acks_drop, on_lost};
    char topic[200];
    void *h = peer.open(c, &cb);
    if (!h)
        return fail("connect");
    snprintf(topic, sizeof topic, TOPIC_BASE "/blast/%ld/%ld/%d/%ld", n, size, qos,
             arg_l("window", 1000));
    g_rx_want = n;
    struct usage u0 = usage_now();
    double deadline = now_s() + 120;
    if (peer.subscribe(h, topic, qos))
        return fail("subscribe");
    pthread_mutex_lock(&W.mu);
    while (!atomic_load(&g_rx_done) && now_s() < deadline) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_sec += 1;
        pthread_cond_timedwait(&W.cv, &W.mu, &t);
    }
    pthread_mutex_unlock(&W.mu);
    struct usage u1 = usage_now();
    if (!atomic_load(&g_rx_done))
        return fail("messages missing");
    json_head("recv", c);
    printf(",\"qos\":%d,\"size\":%ld,\"n\":%ld,\"wall_s\":%.6f,\"msgs_per_s\":%.0f,"
           "\"mb_per_s\":%.1f",
           qos, size, n, g_rx_last - g_rx_first, (double)n / (g_rx_last - g_rx_first),
           (double)n * (double)size / (g_rx_last - g_rx_first) / 1e6);
    json_cpu(&u0, &u1, (double)n);
    printf(",\"rx_bytes\":%ld,\"lost\":%ld}\n", atomic_load(&g_rx_bytes), atomic_load(&W.lost));
    fflush(stdout);
    peer.close(h);
    return 0;
}

static int w_rtt(struct peer_cfg *c)
{
    long n = arg_l("n", 1000), size = arg_l("size", 256), rate = arg_l("rate", 100);
    int qos = (int)arg_l("qos", 1), echo = (int)arg_l("echo", 1);
    struct peer_cb cb = {NULL, on_msg_rtt, on_ack_rtt, on_acks_drop, on_lost};
    char topic[200];
    g_n = n;
    g_sent_at = calloc((size_t)n, sizeof(double));
    g_ack_at = calloc((size_t)n, sizeof(double));
    g_echo_at = calloc((size_t)n, sizeof(double));
    char *payload = calloc(1, (size_t)size + 8);
    snprintf(topic, sizeof topic, TOPIC_BASE "/user/rtt/%s", c->client_id);
    void *h = peer.open(c, &cb);
    if (!h)
        return fail("connect");
    if (echo && peer.subscribe(h, topic, qos))
        return fail("subscribe");
    usleep(300000);
    struct usage u0 = usage_now();
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (long i = 0; i < n; i++) {
        uint32_t seq = (uint32_t)i;
        next.tv_nsec += 1000000000L / rate;
        while (next.tv_nsec >= 1000000000L) {
            next.tv_nsec -= 1000000000L;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        memcpy(payload, &seq, 4);
        g_sent_at[i] = now_s();
        int rc = peer.publish(h, topic, payload, (size_t)size, qos);
        if (rc)
            return fail("publish failed");
        if (peer.flush)
            peer.flush(h);
    }
    usleep(1000000);
    struct usage u1 = usage_now();
    long na = 0, ne = 0;
    double *a = malloc(sizeof(double) * (size_t)n), *e = malloc(sizeof(double) * (size_t)n);
    for (long i = 0; i < n; i++) {
        if (qos && g_ack_at[i] > 0)
            a[na++] = (g_ack_at[i] - g_sent_at[i]) * 1e6;
        if (g_echo_at[i] > 0)
            e[ne++] = (g_echo_at[i] - g_sent_at[i]) * 1e6;
    }
    qsort(a, (size_t)na, sizeof *a, cmp_d);
    qsort(e, (size_t)ne, sizeof *e, cmp_d);
    json_head("rtt", c);
    printf(",\"qos\":%d,\"size\":%ld,\"n\":%ld,\"rate\":%ld,\"acks\":%ld,\"echoes\":%ld,"
           "\"ack_p50_us\":%.1f,\"ack_p90_us\":%.1f,\"ack_p99_us\":%.1f,\"ack_max_us\":%.1f,"
           "\"echo_p50_us\":%.1f,\"echo_p90_us\":%.1f,\"echo_p99_us\":%.1f,\"echo_max_us\":%.1f",
           qos, size, n, rate, na, ne, pct(a, na, 50), pct(a, na, 90), pct(a, na, 99),
           na ? a[na - 1] : 0, pct(e, ne, 50), pct(e, ne, 90), pct(e, ne, 99),
           ne ? e[ne - 1] : 0);
    json_cpu(&u0, &u1, (double)n);
    printf(",\"lost\":%ld}\n", atomic_load(&W.lost));
    fflush(stdout);
    peer.close(h);
    return 0;
}

static int w_conn(struct peer_cfg *c)
{
    long n = arg_l("n", 200), warm = 5;
    struct peer_cb cb = {NULL, on_msg_drop, on_ack_drop, on_acks_drop, on_lost};
    double *v = malloc(sizeof(double) * (size_t)n);
    double *z = malloc(sizeof(double) * (size_t)n);
    struct usage u0 = usage_now();
    for (long i = -warm; i < n; i++) {
        if (i == 0)
            u0 = usage_now();
        double t0 = now_s();
        void *h = peer.open(c, &cb);
        double t1 = now_s();
        if (!h)
            return fail("connect");
        peer.close(h);
        double t2 = now_s();
        if (i >= 0) {
            v[i] = (t1 - t0) * 1e6;
            z[i] = (t2 - t1) * 1e6;
        }
    }
    struct usage u1 = usage_now();
    qsort(v, (size_t)n, sizeof *v, cmp_d);
    qsort(z, (size_t)n, sizeof *z, cmp_d);
    json_head("conn", c);
    printf(",\"n\":%ld,\"conn_p50_us\":%.1f,\"conn_p90_us\":%.1f,\"conn_p99_us\":%.1f,"
           "\"conn_min_us\":%.1f,\"close_p50_us\":%.1f,\"cpu_us_per_conn\":%.1f",
           n, pct(v, n, 50), pct(v, n, 90), pct(v, n, 99), v[0], pct(z, n, 50),
           (u1.user + u1.sys - u0.user - u0.sys) / (double)n * 1e6);
    json_cpu(&u0, &u1, (double)n);
    printf("}\n");
    fflush(stdout);
    return 0;
}

static int w_idle(struct peer_cfg *c)
{
    struct peer_cb cb = {NULL, on_msg_drop, on_ack_drop, on_acks_drop, on_lost};
    void *h = NULL;
    if (arg_l("connect", 1)) {
        h = peer.open(c, &cb);
        if (!h)
            return fail("connect");
        if (arg_l("sub", 1) && peer.subscribe(h, TOPIC_BASE "/thing/service/property/set", 1))
            return fail("subscribe");
    }
    json_head("idle", c);
    printf(",\"pid\":%d,\"ready\":1}\n", (int)getpid());
    fflush(stdout);
    sleep((unsigned)arg_l("seconds", 75));
    fprintf(stderr, "{\"peer\":\"%s\",\"metric\":\"idle_end\",\"lost\":%ld}\n", peer.name,
            atomic_load(&W.lost));
    if (h)
        peer.close(h);
    return 0;
}

static long proc_kb(const char *file, const char *key)
{
    char line[256];
    long v = -1;
    FILE *f = fopen(file, "r");
    if (!f)
        return -1;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key))) {
            v = atol(line + strlen(key));
            break;
        }
    fclose(f);
    return v;
}

/* One message of `size` bytes each way on every connection, one after the other. */
static void scale_traffic(void **h, long n, long size)
{
    char *payload = malloc((size_t)size), topic[200];
    memset(payload, 'x', (size_t)size);
    snprintf(topic, sizeof topic, TOPIC_BASE "/blast/1/%ld/1/1", size);
    g_rx_want = -1;
    for (long i = 0; i < n; i++) {
        if (!h[i])
            continue;
        long rx = atomic_load(&g_rx);
        pub_one(h[i], TOPIC_PUB, payload, (size_t)size, 1, 1000);
        if (peer.flush)
            peer.flush(h[i]);
        if (peer.subscribe(h[i], topic, 1) || win_wait(0, 30))
            fail("traffic");
        for (int spins = 0; atomic_load(&g_rx) == rx; spins++) {
            struct timespec t = {0, 20000};
            if (spins > 300000)
                fail("traffic missing");
            nanosleep(&t, NULL);
        }
    }
    free(payload);
}

static int w_scale(struct peer_cfg *c)
{
    long n = arg_l("n", 1000), hold = arg_l("hold", 5);
    struct peer_cb cb = {NULL, on_msg_count, on_ack_win, on_acks_win, on_lost};
    void **h = calloc((size_t)n, sizeof *h);
    char (*ids)[40] = calloc((size_t)n, 40);
    long rss0 = proc_kb("/proc/self/status", "VmRSS:");
    long pd0 = proc_kb("/proc/self/smaps_rollup", "Private_Dirty:");
    long ok = 0, failed = 0;
    struct usage u0 = usage_now();
    double t0 = now_s();
    for (long i = 0; i < n; i++) {
        snprintf(ids[i], 40, "scale-%06ld", i);
        c->client_id = ids[i];
        h[i] = peer.open_start ? peer.open_start(c, &cb) : peer.open(c, &cb);
        if (!h[i])
            failed++;
    }
    double deadline = now_s() + 60;
    for (long i = 0; i < n; i++) {
        if (!h[i])
            continue;
        double left = deadline - now_s();
        if (peer.open_wait && peer.open_wait(h[i], left > 0.001 ? (int)(left * 1e3) : 1))
            failed++;
        else
            ok++;
    }
    double t1 = now_s();
    struct usage u1 = usage_now();
    if (failed)
        fprintf(stderr, "%ld of %ld connections failed\n", failed, n);
    if (arg_l("traffic", 0) && !failed)
        scale_traffic(h, n, arg_l("traffic", 0));
    sleep((unsigned)arg_l("settle", 2));
    long rss1 = proc_kb("/proc/self/status", "VmRSS:");
    long pss1 = proc_kb("/proc/self/smaps_rollup", "Pss:");
    long pd1 = proc_kb("/proc/self/smaps_rollup", "Private_Dirty:");
    long vsz = proc_kb("/proc/self/status", "VmSize:");
    long thr = proc_kb("/proc/self/status", "Threads:");
    struct usage i0 = usage_now();
    sleep((unsigned)hold);
    struct usage i1 = usage_now();
    json_head("scale", c);
    printf(",\"n\":%ld,\"ok\":%ld,\"failed\":%ld,\"connect_all_s\":%.3f,"
           "\"connect_cpu_us_per_conn\":%.1f,\"rss0_kb\":%ld,\"rss_kb\":%ld,\"pss_kb\":%ld,"
           "\"private_dirty_kb\":%ld,\"vmsize_kb\":%ld,\"threads\":%ld,\"rss_kb_per_conn\":%.2f,"
           "\"private_dirty_kb_per_conn\":%.2f,\"idle_cpu_ms_per_s\":%.3f,"
           "\"idle_wakes_per_s\":%.4f,\"lost\":%ld}\n",
           n, ok, failed, t1 - t0, (u1.user + u1.sys - u0.user - u0.sys) / (double)n * 1e6, rss0,
           rss1, pss1, pd1, vsz, thr, (double)(rss1 - rss0) / (double)(ok ? ok : 1),
           (double)(pd1 - pd0) / (double)(ok ? ok : 1),
           (i1.user + i1.sys - i0.user - i0.sys) / (double)hold * 1e3,
           (double)(i1.vcsw - i0.vcsw) / (double)hold, atomic_load(&W.lost));
    fflush(stdout);
    if (arg_l("close", 0))
        for (long i = 0; i < n; i++)
            if (h[i])
                peer.close(h[i]);
    _exit(0);
}

int main(int argc, char **argv)
{
    static char id[64];
    prctl(PR_SET_TIMERSLACK, 1); /* whoever waits for room in a queue waits no longer than it says */
    if (argc < 2) {
        fprintf(stderr, "usage: %s pub|recv|rtt|conn|idle|scale [--name=value ...]\n", argv[0]);
        return 2;
    }
    for (int i = 2; i < argc && g_nargs < 64; i++)
        g_args[g_nargs++] = argv[i];
    snprintf(id, sizeof id, "bench-%s-%d", peer.name, (int)getpid());
    struct peer_cfg c = {
        .host = arg_s("host", "127.0.0.1"),
        .port = (int)arg_l("port", 21884),
        .tls = (int)arg_l("tls", 0),
        .ca_file = arg_s("ca", "ca.crt"),
        .tls12 = (int)arg_l("tls12", 0),
        .client_id = arg_s("id", id),
        .keepalive_s = (int)arg_l("keepalive", 300),
        .inflight = (int)arg_l("inflight", 0),
        .window = (int)arg_l("window", 1000),
        .nodelay = (int)arg_l("nodelay", 0),
        .opt = arg_s("opt", ""),
    };
    if (peer.init && peer.init(&c))
        return fail("init");
    int rc;
    if (!strcmp(argv[1], "pub"))
        rc = w_pub(&c);
    else if (!strcmp(argv[1], "recv"))
        rc = w_recv(&c);
    else if (!strcmp(argv[1], "rtt"))
        rc = w_rtt(&c);
    else if (!strcmp(argv[1], "conn"))
        rc = w_conn(&c);
    else if (!strcmp(argv[1], "idle"))
        rc = w_idle(&c);
    else if (!strcmp(argv[1], "scale"))
        rc = w_scale(&c);
    else
        return fail("unknown workload");
    if (peer.fini)
        peer.fini();
    return rc;
}

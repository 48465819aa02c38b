/*
 * mqtt_sink.c - a bottleneck-free MQTT 3.1.1 peer for client benchmarks.
 *
 * One thread, epoll, no broker logic.  It speaks just enough MQTT for a client
 * library to be the slow side of the connection:
 *
 *   CONNECT      -> CONNACK(accepted), always
 *   SUBSCRIBE    -> SUBACK (grants the requested QoS, 0 or 1); see "blaster"
 *   UNSUBSCRIBE  -> UNSUBACK
 *   PUBLISH QoS0 -> counted and dropped
 *   PUBLISH QoS1 -> counted, PUBACK (all PUBACKs of one read go out in one write)
 *   PINGREQ      -> PINGRESP
 *   DISCONNECT   -> close
 *
 * Blaster: a SUBSCRIBE whose topic filter ends in
 *
 *       /blast/<count>/<payload bytes>/<qos>[/<window>]
 *
 * makes the sink send <count> PUBLISH frames to that very topic as fast as the
 * socket takes them, out of one pre-encoded buffer of at least 64 KiB.
 * QoS 1 frames get packet ids 1..65535 and at most <window> (default 1000) stay
 * unacknowledged.
 *
 * Usage:
 *   mqtt_sink [-p PORT] [-t TLS_PORT -c CERT.pem -k KEY.pem] [-1] [-n] [-r] [-q] [-v]
 *     -p PORT      plain listener on 127.0.0.1            (default 21884)
 *     -t PORT      TLS listener on 127.0.0.1              (default: none)
 *     -c / -k      server certificate chain / private key in PEM
 *     -1           TLS 1.2 only (default: 1.2 and 1.3)
 *     -n           resumes no TLS session
 *     -r           gives a TLS connection's buffers back between two reads: for many connections
 *     -q           TCP_QUICKACK whenever the socket has been drained.  Without it a
 *                  client that leaves Nagle on waits ~40 ms for the delayed ACK
 *                  before its last small write of a QoS 0 burst goes out.
 *     -v           one JSON line on stdout for every connection that closes
 *
 * SIGINT / SIGTERM end it.  Build: cc -O2 mqtt_sink.c -o mqtt_sink -lssl -lcrypto
 *
 * It never listens on anything but 127.0.0.1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define RDBUF (256 * 1024) /* one shared read buffer */
#define CHUNK (64 * 1024)  /* minimum size of a blast chunk */

struct blast {
    uint8_t *chunk;      /* whole frames, back to back */
    size_t chunk_len;    /* bytes in chunk */
    size_t frame_len;    /* bytes per frame */
    size_t pid_off;      /* offset of the packet id in a frame (QoS 1) */
    uint32_t per_chunk;  /* frames in chunk */
    uint64_t remaining;  /* frames not yet handed to the socket */
    uint64_t inflight;   /* QoS 1: sent, not acknowledged */
    uint64_t window;
    int qos;
    uint16_t next_pid;
    const uint8_t *cur;  /* what is being written right now */
    size_t cur_len;
};

struct conn {
    int fd;
    int is_listener;     /* 1 plain, 2 TLS */
    int want_out;        /* EPOLLOUT armed */
    int handshaking;
    int dead;
    SSL *ssl;
    uint8_t *in;         /* carry-over: an incomplete frame */
    size_t in_len, in_cap;
    size_t skip;         /* bytes of a PUBLISH body still to be dropped */
    int skip_pid;        /* >0: PUBACK this id when skip reaches 0 */
    uint8_t *out;
    size_t out_len, out_cap, out_pos;
    struct blast *blast;
    uint64_t pub0, pub1, puback, bytes;
    char cid[80];
};

static int g_ep, g_verbose, g_quickack, g_release;
static volatile sig_atomic_t g_stop;
static SSL_CTX *g_ctx;
static uint8_t g_rd[RDBUF];
static uint64_t g_conns;

static void on_sig(int s) { (void)s; g_stop = 1; }

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---------------------------------------------------------------- output -- */

static void arm(struct conn *c, int want_out)
{
    struct epoll_event ev;
    if (c->want_out == want_out)
        return;
    c->want_out = want_out;
    ev.events = EPOLLIN | (want_out ? EPOLLOUT : 0);
    ev.data.ptr = c;
    epoll_ctl(g_ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static ssize_t io_write(struct conn *c, const void *p, size_t n)
{
    if (!c->ssl) {
        ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL);
        if (r < 0)
            return (errno == EAGAIN || errno == EINTR) ? 0 : -1;
        return r;
    }
    size_t w = 0;
    ERR_clear_error();
    int r = SSL_write_ex(c->ssl, p, n, &w);
    if (r == 1)
        return (ssize_t)w;
    r = SSL_get_error(c->ssl, r);
    return (r == SSL_ERROR_WANT_WRITE || r == SSL_ERROR_WANT_READ) ? 0 : -1;
}

static ssize_t io_read(struct conn *c, void *p, size_t n)
{
    if (!c->ssl) {
        ssize_t r = recv(c->fd, p, n, 0);
        if (r == 0)
            return -1;
        if (r < 0)
            return (errno == EAGAIN || errno == EINTR) ? 0 : -1;
        return r;
    }
    size_t got = 0, total = 0;
    while (total + 16384 <= n) { /* SSL_read returns one record at a time */
        ERR_clear_error();
        int r = SSL_read_ex(c->ssl, (uint8_t *)p + total, n - total, &got);
        if (r != 1) {
            r = SSL_get_error(c->ssl, r);
            if (r == SSL_ERROR_WANT_READ || r == SSL_ERROR_WANT_WRITE)
                break;
            return total ? (ssize_t)total : -1;
        }
        total += got;
    }
    return (ssize_t)total;
}

static void out_put(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->out_len + n > c->out_cap) {
        size_t cap = c->out_cap ? c->out_cap : 256;
        while (cap < c->out_len + n)
            cap *= 2;
        c->out = realloc(c->out, cap);
        if (!c->out)
            die("realloc");
        c->out_cap = cap;
    }
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
}

static void blast_refill(struct blast *b)
{
    uint64_t n = b->remaining < b->per_chunk ? b->remaining : b->per_chunk;
    if (b->qos) {
        uint64_t room = b->window > b->inflight ? b->window - b->inflight : 0;
        if (n > room)
            n = room;
        for (uint64_t i = 0; i < n; i++) {
            uint8_t *p = b->chunk + i * b->frame_len + b->pid_off;
            p[0] = (uint8_t)(b->next_pid >> 8);
            p[1] = (uint8_t)b->next_pid;
            if (++b->next_pid == 0)
                b->next_pid = 1;
        }
        b->inflight += n;
    }
    b->remaining -= n;
    b->cur = b->chunk;
    b->cur_len = n * b->frame_len;
}

/*
 * Writes pending replies and blast chunks until the socket is full.  A reply
 * goes out only between two chunks, never inside a half-written frame.
 */
static void flush(struct conn *c)
{
    struct blast *b = c->blast;
    /* bounded turn: other connections get served between EPOLLOUT events */
    for (int turn = 0; turn < 64; turn++) {
        if (!b || !b->cur_len) {
            while (c->out_pos < c->out_len) {
                ssize_t r = io_write(c, c->out + c->out_pos, c->out_len - c->out_pos);
                if (r < 0) { c->dead = 1; return; }
                if (r == 0) { arm(c, 1); return; }
                c->out_pos += (size_t)r;
            }
            c->out_pos = c->out_len = 0;
            if (!b)
                break;
            if (b->remaining)
                blast_refill(b);
            if (!b->cur_len)
                break;
        }
        ssize_t r = io_write(c, b->cur, b->cur_len);
        if (r < 0) { c->dead = 1; return; }
        if (r == 0) { arm(c, 1); return; }
        b->cur += r;
        b->cur_len -= (size_t)r;
    }
    arm(c, c->out_len ||
           (b && (b->cur_len || (b->remaining && (!b->qos || b->inflight < b->window)))));
}

/* ---------------------------------------------------------------- frames -- */

static size_t put_varlen(uint8_t *p, size_t v)
{
    size_t n = 0;
    do {
        uint8_t d = v & 127;
        v >>= 7;
        p[n++] = d | (v ? 128 : 0);
    } while (v);
    return n;
}

static void puback(struct conn *c, int pid)
{
    uint8_t a[4] = {0x40, 2, (uint8_t)(pid >> 8), (uint8_t)pid};
    out_put(c, a, 4);
}

static void blast_start(struct conn *c, const char *topic, size_t tlen)
{
    char t[600];
    unsigned long count, size, qos, window = 1000;
    if (tlen >= sizeof t)
        return;
    memcpy(t, topic, tlen);
    t[tlen] = 0;
    char *p = strstr(t, "/blast/");
    if (!p || sscanf(p, "/blast/%lu/%lu/%lu/%lu", &count, &size, &qos, &window) < 3)
        return;
    if (qos > 1 || size > (64u << 20) || count == 0 || window == 0 || window > 65535)
        return;
    struct blast *b = calloc(1, sizeof *b);
    uint8_t head[8];
    size_t rem = 2 + tlen + (qos ? 2 : 0) + size;
    head[0] = (uint8_t)(0x30 | (qos << 1));
    size_t hl = 1 + put_varlen(head + 1, rem);
    b->frame_len = hl + rem;
    b->pid_off = hl + 2 + tlen;
    b->per_chunk = (uint32_t)((CHUNK + b->frame_len - 1) / b->frame_len);
    b->chunk_len = b->per_chunk * b->frame_len;
    b->chunk = malloc(b->chunk_len);
    if (!b->chunk)
        die("malloc");
    for (uint32_t i = 0; i < b->per_chunk; i++) {
        uint8_t *f = b->chunk + i * b->frame_len;
        memcpy(f, head, hl);
        f[hl] = (uint8_t)(tlen >> 8);
        f[hl + 1] = (uint8_t)tlen;
        memcpy(f + hl + 2, topic, tlen);
        memset(f + b->frame_len - size, 'x', size);
    }
    b->remaining = count;
    b->qos = (int)qos;
    b->window = window;
    b->next_pid = 1;
    if (c->blast) {
        free(c->blast->chunk);
        free(c->blast);
    }
    c->blast = b;
}

/* One complete non-PUBLISH frame, or a SUBSCRIBE etc.  body = after the header. */
static void control(struct conn *c, uint8_t type, const uint8_t *body, size_t len)
{
    switch (type >> 4) {
    case 1: { /* CONNECT */
        static const uint8_t ok[4] = {0x20, 2, 0, 0};
        if (len >= 12) {
            size_t n = (size_t)body[10] << 8 | body[11];
            if (n > len - 12) n = len - 12;
            if (n >= sizeof c->cid) n = sizeof c->cid - 1;
            memcpy(c->cid, body + 12, n);
            c->cid[n] = 0;
            for (size_t i = 0; i < n; i++)
                if (c->cid[i] < 32 || c->cid[i] == '"' || c->cid[i] == '\\')
                    c->cid[i] = '_';
        }
        out_put(c, ok, 4);
        break;
    }
    case 4: /* PUBACK for a QoS 1 blast */
        c->puback++;
        if (c->blast && c->blast->inflight)
            c->blast->inflight--;
        break;
    case 8: { /* SUBSCRIBE: pid, then (topic, qos)* */
        uint8_t codes[128];
        size_t n = 0, i = 2;
        while (i + 3 <= len && n < sizeof codes) {
            size_t tl = (size_t)body[i] << 8 | body[i + 1];
            if (i + 2 + tl + 1 > len)
                break;
            blast_start(c, (const char *)body + i + 2, tl);
            codes[n++] = body[i + 2 + tl] > 1 ? 1 : body[i + 2 + tl];
            i += 3 + tl;
        }
        uint8_t h[4] = {0x90, (uint8_t)(2 + n), body[0], body[1]};
        out_put(c, h, 4);
        out_put(c, codes, n);
        break;
    }
    case 10: { /* UNSUBSCRIBE */
        uint8_t h[4] = {0xB0, 2, len > 1 ? body[0] : 0, len > 1 ? body[1] : 0};
        out_put(c, h, 4);
        break;
    }
    case 12: {
        static const uint8_t r[2] = {0xD0, 0};
        out_put(c, r, 2);
        break;
    }
    case 14:
        c->dead = 1;
        break;
    default:
        break;
    }
}

/*
 * Consumes as many bytes as possible of p[0..n).  Returns the number consumed;
 * the rest is an incomplete frame head the caller keeps.
 */
static size_t parse(struct conn *c, const uint8_t *p, size_t n)
{
    size_t pos = 0;
    while (pos < n && !c->dead) {
        if (c->skip) {
            size_t k = n - pos < c->skip ? n - pos : c->skip;
            pos += k;
            c->skip -= k;
            if (!c->skip && c->skip_pid) {
                puback(c, c->skip_pid);
                c->skip_pid = 0;
            }
            continue;
        }
        size_t avail = n - pos, hl = 1, rem = 0, shift = 0;
        const uint8_t *f = p + pos;
        int done = 0;
        while (hl < avail && hl <= 4) {
            rem |= (size_t)(f[hl] & 127) << shift;
            shift += 7;
            if (!(f[hl++] & 128)) { done = 1; break; }
        }
        if (!done) {
            if (hl > 4) { c->dead = 1; }
            break;
        }
        if (f[0] >> 4 == 3) { /* PUBLISH: the body need not be complete */
            if ((f[0] >> 1 & 3) == 0) {
                c->pub0++;
                c->bytes += rem;
                pos += hl;
                c->skip = rem;
                continue;
            }
            if (avail < hl + 2)
                break;
            size_t tl = (size_t)f[hl] << 8 | f[hl + 1];
            if (rem < tl + 4) { c->dead = 1; break; }
            if (avail < hl + 2 + tl + 2)
                break;
            int pid = f[hl + 2 + tl] << 8 | f[hl + 3 + tl];
            c->pub1++;
            c->bytes += rem;
            pos += hl + 4 + tl;
            c->skip = rem - 4 - tl;
            if (c->skip)
                c->skip_pid = pid;
            else
                puback(c, pid);
            continue;
        }
        if (avail < hl + rem)
            break;
        control(c, f[0], f + hl, rem);
        pos += hl + rem;
    }
    return pos;
}

static void feed(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->in_len) { /* finish the carried-over frame together with the new bytes */
        if (c->in_len + n > c->in_cap) {
            c->in_cap = (c->in_len + n) * 2;
            c->in = realloc(c->in, c->in_cap);
            if (!c->in)
                die("realloc");
        }
        memcpy(c->in + c->in_len, p, n);
        c->in_len += n;
        size_t used = parse(c, c->in, c->in_len);
        memmove(c->in, c->in + used, c->in_len - used);
        c->in_len -= used;
        return;
    }
    size_t used = parse(c, p, n);
    if (used < n && !c->dead) {
        size_t rest = n - used;
        if (rest > c->in_cap) {
            c->in_cap = rest * 2;
            c->in = realloc(c->in, c->in_cap);
            if (!c->in)
                die("realloc");
        }
        memcpy(c->in, p + used, rest);
        c->in_len = rest;
    }
}

/* ----------------------------------------------------------- connections -- */

static int nonblock(int fd) { return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static int listen_on(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096))
        die("listen");
    nonblock(fd);
    return fd;
}

static void add_listener(int port, int kind)
{
    struct conn *l = calloc(1, sizeof *l);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = l};
    l->fd = listen_on(port);
    l->is_listener = kind;
    epoll_ctl(g_ep, EPOLL_CTL_ADD, l->fd, &ev);
}

static void drop(struct conn *c)
{
    if (g_verbose) {
        printf("{\"cid\":\"%s\",\"pub0\":%llu,\"pub1\":%llu,\"puback\":%llu,\"bytes\":%llu,"
               "\"blast_left\":%llu}\n",
               c->cid, (unsigned long long)c->pub0, (unsigned long long)c->pub1,
               (unsigned long long)c->puback, (unsigned long long)c->bytes,
               (unsigned long long)(c->blast ? c->blast->remaining : 0));
        fflush(stdout);
    }
    if (c->ssl) {
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
    }
    close(c->fd);
    if (c->blast) {
        free(c->blast->chunk);
        free(c->blast);
    }
    free(c->in);
    free(c->out);
    free(c);
}

static void accept_all(struct conn *l)
{
    for (;;) {
        int one = 1, fd = accept(l->fd, NULL, NULL);
        if (fd < 0)
            return;
        struct conn *c = calloc(1, sizeof *c);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        nonblock(fd);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        g_conns++;
        if (l->is_listener == 2) {
            c->ssl = SSL_new(g_ctx);
            SSL_set_fd(c->ssl, fd);
            c->handshaking = 1;
        }
        epoll_ctl(g_ep, EPOLL_CTL_ADD, fd, &ev);
    }
}

static void serve(struct conn *c, uint32_t events)
{
    if (c->handshaking) {
        ERR_clear_error();
        int r = SSL_accept(c->ssl);
        if (r == 1) {
            c->handshaking = 0;
            arm(c, 0);
        } else {
            r = SSL_get_error(c->ssl, r);
            if (r == SSL_ERROR_WANT_WRITE)
                arm(c, 1);
            else if (r != SSL_ERROR_WANT_READ)
                c->dead = 1;
            return;
        }
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t r = io_read(c, g_rd, sizeof g_rd);
        if (r < 0) {
            c->dead = 1;
            return;
        }
        feed(c, g_rd, (size_t)r);
        while (c->ssl && !c->dead && SSL_has_pending(c->ssl)) { /* read-ahead leftovers */
            r = io_read(c, g_rd, sizeof g_rd);
            if (r <= 0)
                break;
            feed(c, g_rd, (size_t)r);
        }
        if (g_quickack && r < RDBUF) {
            int one = 1;
            setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
        }
    }
    flush(c);
}

int main(int argc, char **argv)
{
    int port = 21884, tport = 0, only12 = 0, no_resume = 0, o;
    const char *cert = NULL, *key = NULL;
    while ((o = getopt(argc, argv, "p:t:c:k:1nrvq")) != -1)
        switch (o) {
        case 'p': port = atoi(optarg); break;
        case 't': tport = atoi(optarg); break;
        case 'c': cert = optarg; break;
        case 'k': key = optarg; break;
        case '1': only12 = 1; break;
        case 'n': no_resume = 1; break;
        case 'r': g_release = 1; break;
        case 'v': g_verbose = 1; break;
        case 'q': g_quickack = 1; break;
        default: fprintf(stderr, "see the head of mqtt_sink.c\n"); return 2;
        }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_sig);
    signal(SIGTERM, on_sig);
    g_ep = epoll_create1(0);
    add_listener(port, 1);
    if (tport) {
        g_ctx = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_min_proto_version(g_ctx, TLS1_2_VERSION);
        if (only12)
            SSL_CTX_set_max_proto_version(g_ctx, TLS1_2_VERSION);
        SSL_CTX_set_mode(g_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
        SSL_CTX_set_read_ahead(g_ctx, 1);
        if (g_release)
            SSL_CTX_set_mode(g_ctx, SSL_MODE_RELEASE_BUFFERS);
        else
            SSL_CTX_set_default_read_buffer_len(g_ctx, RDBUF);
        if (no_resume) {
            SSL_CTX_set_options(g_ctx, SSL_OP_NO_TICKET);
            SSL_CTX_set_num_tickets(g_ctx, 0);
            SSL_CTX_set_session_cache_mode(g_ctx, SSL_SESS_CACHE_OFF);
        }
        if (!cert || !key || SSL_CTX_use_certificate_chain_file(g_ctx, cert) != 1 ||
            SSL_CTX_use_PrivateKey_file(g_ctx, key, SSL_FILETYPE_PEM) != 1) {
            ERR_print_errors_fp(stderr);
            return 1;
        }
        add_listener(tport, 2);
    }
    while (!g_stop) {
        struct epoll_event ev[256];
        int n = epoll_wait(g_ep, ev, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            if (c->is_listener) {
                accept_all(c);
                continue;
            }
            serve(c, ev[i].events);
            if (c->dead)
                drop(c);
        }
    }
    return 0;
}

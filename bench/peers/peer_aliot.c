/*
 * peer_aliot.c - libaliot through its public header.
 *
 * Defaults everywhere but for the limits that a benchmark runs into:
 *   the private profile, because the platform allows five connects a minute;
 *   the window, if --inflight asks for one;
 *   the inbox, because the sink sends faster than any callback could take it, and what exceeds the
 *   inbox is dropped (QoS 0) or closes the connection (QoS 1).
 *
 * A QoS 0 message has a completion only if a token is asked for, which this does for one in a few:
 * messages of one quality of service leave in order, so it speaks for those before it.
 */
#include <aliot.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

struct ac {
    aliot_client *client;
    struct peer_cb cb;
    pthread_mutex_t mu;
    pthread_cond_t cv;
    int subscribing;
    aliot_token sub;
    int suback;
    /* QoS 0: how many share a token; accepted since the last one;
     * and of which quality the present messages are. */
    long batch, since;
    int qos;
};

static aliot_runtime *g_runtime;

static int bad(const char *what, aliot_result result)
{
    char text[512];
    if (result == ALIOT_RESULT_OK)
        return 0;
    aliot_last_error(text, sizeof text);
    fprintf(stderr, "%s: %s: %s\n", what, aliot_result_name(result), text);
    return -1;
}

static void version(char *b, size_t n) { snprintf(b, n, "libaliot %s", aliot_version_string()); }

/* The threads of a process live longer than its connections. */
static int init(const struct peer_cfg *f)
{
    (void)f;
    return bad("runtime", aliot_runtime_create(ALIOT_DISPATCH_THREAD, &g_runtime));
}

static void fini(void) { aliot_runtime_destroy(g_runtime); }

static void on_completion(aliot_client *client, const aliot_completion *done, void *ud)
{
    struct ac *c = ud;
    (void)client;
    if (__atomic_load_n(&c->subscribing, __ATOMIC_RELAXED)) {
        pthread_mutex_lock(&c->mu);
        int is_it = c->sub == done->token;
        if (is_it) {
            c->suback = done->result == ALIOT_RESULT_OK ? 1 : -1;
            pthread_cond_broadcast(&c->cv);
        }
        pthread_mutex_unlock(&c->mu);
        if (is_it)
            return;
    }
    if (done->result == ALIOT_RESULT_OK && c->qos)
        c->cb.on_ack(c->cb.ud);
    else if (done->result == ALIOT_RESULT_OK)
        c->cb.on_acks(c->cb.ud, c->batch);
}

static void on_event(aliot_client *client, const aliot_event *event, void *ud)
{
    struct ac *c = ud;
    (void)client;
    if (event->kind == ALIOT_EVENT_KIND_CONNECT_FAILED)
        fprintf(stderr, "connect failed: %s\n", event->text);
    if (event->kind == ALIOT_EVENT_KIND_MESSAGES_DROPPED)
        fprintf(stderr, "messages dropped: %llu\n", (unsigned long long)event->messages_dropped);
    if (event->kind == ALIOT_EVENT_KIND_DISCONNECTED && event->reason != ALIOT_RESULT_OK) {
        fprintf(stderr, "disconnected: %s\n", event->text);
        c->cb.on_lost(c->cb.ud);
    }
}

static void on_message(aliot_client *client, const aliot_message *m, void *ud)
{
    struct ac *c = ud;
    (void)client;
    c->cb.on_msg(c->cb.ud, m->topic, strlen(m->topic), m->payload, m->payload_len);
}

static aliot_config *config_of(const struct peer_cfg *f)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    int failed =
        bad("identity", aliot_identity_create_verbatim(f->client_id, "bench", "bench", &identity)) ||
        bad("endpoint", aliot_endpoint_create_for_host(f->host, (uint16_t)f->port, &endpoint)) ||
        (f->tls ? bad("ca", aliot_endpoint_set_ca_file(endpoint, f->ca_file))
                : bad("plain", aliot_endpoint_set_dangerous_plaintext(endpoint))) ||
        bad("config", aliot_config_create(identity, endpoint, &config)) ||
        bad("profile", aliot_config_use_private_profile(config)) ||
        bad("keep-alive", aliot_config_set_keep_alive_s(config, (uint16_t)f->keepalive_s)) ||
        bad("inbox", aliot_config_set_inbox_limit(config, 65535, 1u << 30)) ||
        (f->inflight ? bad("window", aliot_config_set_window(config, (uint16_t)f->inflight)) : 0);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    if (failed) {
        aliot_config_destroy(config);
        return NULL;
    }
    return config;
}

static void *open_start(const struct peer_cfg *f, const struct peer_cb *cb)
{
    aliot_config *config = config_of(f);
    struct ac *c = calloc(1, sizeof *c);
    if (!config || !c)
        return NULL;
    c->cb = *cb;
    c->batch = f->window / 4 > 0 ? f->window / 4 : 1;
    pthread_mutex_init(&c->mu, NULL);
    pthread_cond_init(&c->cv, NULL);
    int failed =
        bad("client", aliot_client_create_on_runtime(config, g_runtime, &c->client)) ||
        bad("events", aliot_client_set_event_callback(c->client, on_event, c, NULL)) ||
        bad("completions", aliot_client_set_completion_callback(c->client, on_completion, c, NULL)) ||
        bad("start", aliot_client_start(c->client));
    aliot_config_destroy(config);
    return failed ? NULL : c;
}

static int open_wait(void *h, int ms)
{
    struct ac *c = h;
    return bad("connect", aliot_client_wait_connected(c->client, (uint32_t)ms));
}

static void *open_blocking(const struct peer_cfg *f, const struct peer_cb *cb)
{
    void *h = open_start(f, cb);
    return h && open_wait(h, 15000) == 0 ? h : NULL;
}

static int publish(void *h, const char *topic, const void *p, size_t n, int qos)
{
    struct ac *c = h;
    aliot_token token;
    int last = !qos && c->since + 1 == c->batch;
    /* Only one kind is ever under way: the harness drains before it changes over. */
    __atomic_store_n(&c->qos, qos, __ATOMIC_RELAXED);
    aliot_result r = aliot_client_publish(c->client, topic, p, n,
                                          qos ? ALIOT_QOS_AT_LEAST_ONCE : ALIOT_QOS_AT_MOST_ONCE,
                                          last ? &token : NULL);
    if (r == ALIOT_RESULT_OUTBOX_FULL)
        return PEER_AGAIN;
    if (r == ALIOT_RESULT_OK && !qos)
        c->since = last ? 0 : c->since + 1;
    return bad("publish", r);
}

static int drain(void *h)
{
    struct ac *c = h;
    int failed = bad("drain", aliot_client_wait_flushed(c->client, 120000));
    c->cb.on_acks(c->cb.ud, c->since);
    c->since = 0;
    return failed;
}

static int subscribe(void *h, const char *topic, int qos)
{
    struct ac *c = h;
    __atomic_store_n(&c->subscribing, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&c->mu); /* the completion waits for it, and then finds the token */
    c->suback = 0;
    int failed = bad("subscribe",
                     aliot_client_subscribe(c->client, topic,
                                            qos ? ALIOT_QOS_AT_LEAST_ONCE : ALIOT_QOS_AT_MOST_ONCE,
                                            on_message, c, NULL, &c->sub));
    while (!failed && !c->suback)
        pthread_cond_wait(&c->cv, &c->mu);
    failed |= c->suback != 1;
    pthread_mutex_unlock(&c->mu);
    __atomic_store_n(&c->subscribing, 0, __ATOMIC_RELAXED);
    return failed;
}

static void close_(void *h)
{
    struct ac *c = h;
    aliot_client_destroy(c->client);
    pthread_mutex_destroy(&c->mu);
    pthread_cond_destroy(&c->cv);
    free(c);
}

const struct peer_ops peer = {
    .name = "aliot",
    .acks_qos0 = 1,
    .version = version,
    .init = init,
    .fini = fini,
    .open = open_blocking,
    .open_start = open_start,
    .open_wait = open_wait,
    .publish = publish,
    .drain = drain,
    .subscribe = subscribe,
    .close = close_,
};

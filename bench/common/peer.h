/*
 * peer.h - what a client library must offer to be measured by bench.c.
 *
 * One peer_*.c per library implements `const struct peer_ops peer`.  A peer is
 * linked with bench.c into its own program, so that footprint numbers hold
 * nothing but that library.
 */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <stdint.h>

struct peer_cfg {
    const char *host;       /* 127.0.0.1 */
    int port;
    int tls;                /* 0 plain TCP, 1 TLS with server verification */
    const char *ca_file;    /* PEM */
    int tls12;              /* 1: refuse TLS 1.3 */
    const char *client_id;
    int keepalive_s;
    int inflight;           /* library's own QoS 1 limit; 0 = library default */
    int window;             /* publishes that the harness leaves outstanding */
    int nodelay;            /* 1: ask for TCP_NODELAY where the library can */
    const char *opt;        /* peer specific, "" if none */
};

struct peer_cb {
    void *ud;
    /* A PUBLISH arrived.  Called on whatever thread the library uses. */
    void (*on_msg)(void *ud, const char *topic, size_t topic_len,
                   const void *payload, size_t len);
    /* A publish is complete: QoS 1 -> PUBACK seen; QoS 0 -> handed to the
     * socket (only if peer.acks_qos0). */
    void (*on_ack)(void *ud);
    /* The same for `n` QoS 0 publishes at once. */
    void (*on_acks)(void *ud, long n);
    void (*on_lost)(void *ud);
};

#define PEER_AGAIN (-11) /* publish(): the library's own queue is full, retry */

struct peer_ops {
    const char *name;
    int acks_qos0;          /* 1: on_ack is called for QoS 0 too; 0: publish()
                               returns after the bytes went to the socket */
    void (*version)(char *buf, size_t n);
    int (*init)(const struct peer_cfg *);
    void (*fini)(void);
    /* Connects and returns after CONNACK; NULL on failure. */
    void *(*open)(const struct peer_cfg *, const struct peer_cb *);
    /* Optional: begin connecting / wait for it.  For the scale workload. */
    void *(*open_start)(const struct peer_cfg *, const struct peer_cb *);
    int (*open_wait)(void *h, int timeout_ms);
    /* Asynchronous publish; 0, PEER_AGAIN or another negative number. */
    int (*publish)(void *h, const char *topic, const void *payload, size_t len, int qos);
    /* Optional: called before the publisher blocks (for peers that batch). */
    int (*flush)(void *h);
    /* Optional: returns once every QoS 0 message was handed to the socket, and
     * calls on_ack or on_acks for those that have not had it. */
    int (*drain)(void *h);
    /* Subscribes and returns after SUBACK (or after sending; see the peer). */
    int (*subscribe)(void *h, const char *topic, int qos);
    /* DISCONNECT, free everything. */
    void (*close)(void *h);
};

extern const struct peer_ops peer;

#endif

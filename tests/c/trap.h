/* A peer on this machine that stops at a chosen place, on a thread of its own. */
#ifndef TRAP_H
#define TRAP_H

#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

typedef enum trap_mode {
    TRAP_FULL,   /* takes no connection: a SYN gets no answer */
    TRAP_SILENT, /* takes the connection and what comes, says nothing */
    TRAP_DEAF,   /* accepts the device, then neither reads nor writes */
    TRAP_BROKER, /* accepts the device, acknowledges, answers pings */
} trap_mode;

enum { TRAP_PEERS = 8 };

typedef struct trap_peer {
    int socket;
    bool signed_in;
    size_t length;
    unsigned char inbound[65536];
} trap_peer;

typedef struct trap {
    trap_mode mode;
    int listener;
    uint16_t port;
    pthread_t thread;
    atomic_bool stop;
    atomic_int accepted;
    atomic_int packets[16]; /* by type */
    trap_peer peers[TRAP_PEERS];
} trap;

static inline void trap_send(trap_peer *peer, const unsigned char *bytes, size_t length)
{
    ssize_t sent = send(peer->socket, bytes, length, MSG_NOSIGNAL);
    (void)sent; /* a peer that has gone is seen when reading */
}

/* One code for each filter. On the profile of private platforms a packet has what waits. */
static inline void trap_subscribed(trap_peer *peer, const unsigned char *body, size_t length)
{
    unsigned char answer[5 + 4095] = {0x90};
    size_t count = 0;
    for (size_t at = 2; at < length; at += 3 + ((size_t)body[at] << 8 | body[at + 1]))
        count++;
    CHECK(count > 0 && count <= 4095);
    size_t left = 2 + count, header = 1;
    do {
        answer[header++] = (unsigned char)((left & 0x7F) | (left > 0x7F ? 0x80 : 0));
        left >>= 7;
    } while (left > 0);
    memcpy(answer + header, body, 2);
    memset(answer + header + 2, 1, count);
    trap_send(peer, answer, header + 2 + count);
}

/* Answers the packets that are complete; what is left is the beginning of the next. */
static inline void trap_answer(trap *t, trap_peer *peer)
{
    for (;;) {
        unsigned char *packet = peer->inbound;
        size_t header = 1, length = 0, shift = 0;
        do {
            if (header >= peer->length)
                return;
            length |= (size_t)(packet[header] & 0x7F) << shift;
            shift += 7;
        } while (packet[header++] & 0x80);
        CHECK(header + length <= sizeof peer->inbound);
        if (header + length > peer->length)
            return;
        unsigned type = packet[0] >> 4;
        const unsigned char *body = packet + header;
        if (type == 1) {
            peer->signed_in = true;
            trap_send(peer, (const unsigned char[]){0x20, 2, 0, 0}, 4);
        } else if (type == 3 && (packet[0] & 6) != 0) {
            size_t topic = (size_t)body[0] << 8 | body[1];
            const unsigned char *id = body + 2 + topic;
            trap_send(peer, (const unsigned char[]){0x40, 2, id[0], id[1]}, 4);
        } else if (type == 8) {
            trap_subscribed(peer, body, length);
        } else if (type == 10) {
            trap_send(peer, (const unsigned char[]){0xB0, 2, body[0], body[1]}, 4);
        } else if (type == 12) {
            trap_send(peer, (const unsigned char[]){0xD0, 0}, 2);
        }
        t->packets[type]++;
        peer->length -= header + length;
        memmove(packet, packet + header + length, peer->length);
    }
}

static inline void trap_read(trap *t, trap_peer *peer)
{
    ssize_t got = recv(peer->socket, peer->inbound + peer->length,
                       sizeof peer->inbound - peer->length, 0);
    if (got <= 0) {
        close(peer->socket);
        memset(peer, 0, sizeof *peer);
        peer->socket = -1;
        return;
    }
    if (t->mode == TRAP_SILENT)
        return;
    peer->length += (size_t)got;
    trap_answer(t, peer);
}

static inline void *trap_run(void *argument)
{
    trap *t = argument;
    while (!t->stop) {
        struct pollfd watched[TRAP_PEERS + 1];
        watched[0] = (struct pollfd){.fd = t->listener, .events = POLLIN};
        for (int i = 0; i < TRAP_PEERS; i++) {
            bool deaf = t->mode == TRAP_DEAF && t->peers[i].signed_in;
            watched[i + 1] = (struct pollfd){.fd = deaf ? -1 : t->peers[i].socket,
                                             .events = POLLIN};
        }
        if (poll(watched, TRAP_PEERS + 1, 10) <= 0)
            continue;
        for (int i = 0; i < TRAP_PEERS; i++) {
            if (watched[i + 1].revents != 0)
                trap_read(t, &t->peers[i]);
        }
        for (int i = 0; watched[0].revents != 0 && i < TRAP_PEERS; i++) {
            if (t->peers[i].socket < 0) {
                t->peers[i].socket = accept(t->listener, NULL, NULL);
                t->accepted++;
                break;
            }
        }
    }
    return NULL;
}

/* Connections of the test itself that fill the queue of a listener nobody accepts from. */
static inline void trap_fill(trap *t, const struct sockaddr_in *address)
{
    for (int i = 0; i < TRAP_PEERS; i++) {
        t->peers[i].socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        CHECK(t->peers[i].socket >= 0);
        (void)connect(t->peers[i].socket, (const struct sockaddr *)address, sizeof *address);
    }
}

static inline void trap_start(trap *t, trap_mode mode)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    memset(t, 0, sizeof *t);
    t->mode = mode;
    for (int i = 0; i < TRAP_PEERS; i++)
        t->peers[i].socket = -1;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(t->listener >= 0);
    CHECK(bind(t->listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(t->listener, mode == TRAP_FULL ? 0 : 64) == 0);
    CHECK(getsockname(t->listener, (struct sockaddr *)&address, &length) == 0);
    t->port = ntohs(address.sin_port);
    if (mode == TRAP_FULL)
        trap_fill(t, &address);
    else
        CHECK(pthread_create(&t->thread, NULL, trap_run, t) == 0);
}

static inline void trap_end(trap *t)
{
    t->stop = true;
    if (t->mode != TRAP_FULL)
        CHECK(pthread_join(t->thread, NULL) == 0);
    for (int i = 0; i < TRAP_PEERS; i++) {
        if (t->peers[i].socket >= 0)
            close(t->peers[i].socket);
    }
    close(t->listener);
}

/* A config for the trap, with a private platform's limits. */
static inline aliot_config *trap_config(const char *host, uint16_t port, bool plaintext)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    CHECK_OK(aliot_identity_create("pk", "device", "secret", &identity));
    CHECK_OK(aliot_endpoint_create_for_host(host, port, &endpoint));
    if (plaintext)
        CHECK_OK(aliot_endpoint_set_dangerous_plaintext(endpoint));
    CHECK_OK(aliot_config_create(identity, endpoint, &config));
    CHECK_OK(aliot_config_use_private_profile(config));
    CHECK_OK(aliot_config_set_connects_per_minute(config, 0));
    CHECK_OK(aliot_config_set_reconnect_ms(config, 5, 50));
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return config;
}

#endif

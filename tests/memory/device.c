/*
 * A device whose memory is looked through by the test that runs it. Its secrets come through a pipe,
 * and its own copies are overwritten at once: what is found later is the library's.
 *
 *   device secret | token | verbatim | file | register | certificate | certificate-file
 */

#define _DEFAULT_SOURCE
#include <aliot.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000 };

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            char why[512] = ""; \
            aliot_last_error(why, sizeof why); \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, why); \
            exit(EXIT_FAILURE); \
        } \
    } while (0)
#define CHECK_OK(call) CHECK((call) == ALIOT_RESULT_OK)

static char given[4096];

/* The next text of the test, up to a NUL. stdio would keep a copy. */
static const char *take(void)
{
    for (size_t i = 0; i < sizeof given; i++) {
        CHECK(read(STDIN_FILENO, &given[i], 1) == 1);
        if (given[i] == '\0') {
            return given;
        }
    }
    CHECK(!"too long");
    return NULL;
}

static void forget(void)
{
    explicit_bzero(given, sizeof given);
}

/* Lets the test look, until it sends another text. */
static void show(const char *what)
{
    CHECK(write(STDOUT_FILENO, what, strlen(what)) == (ssize_t)strlen(what));
    CHECK(write(STDOUT_FILENO, "\n", 1) == 1);
    take();
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    CHECK(value != NULL);
    return value;
}

static bool is_set(const char *name)
{
    return getenv(name) != NULL;
}

static atomic_int refused;

/* Stands in for the system's, which the library calls. With STUCK the socket takes nothing. */
ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
    if (is_set("STUCK")) {
        refused++;
        errno = EAGAIN;
        return -1;
    }
    return syscall(SYS_sendmsg, socket, message, flags);
}

/* Whose login comes first through the pipe. */
static void set_proxy(aliot_endpoint *endpoint)
{
    if (is_set("HTTP_PROXY_PORT")) {
        uint16_t port = (uint16_t)atoi(environment("HTTP_PROXY_PORT"));
        CHECK_OK(aliot_endpoint_set_http_proxy(endpoint, "127.0.0.1", port, "user", take()));
        forget();
    } else if (is_set("SOCKS5_PROXY_PORT")) {
        uint16_t port = (uint16_t)atoi(environment("SOCKS5_PROXY_PORT"));
        CHECK_OK(aliot_endpoint_set_socks5_proxy(endpoint, "127.0.0.1", port, "user", take()));
        forget();
    }
}

static aliot_endpoint *endpoint(void)
{
    aliot_endpoint *endpoint = NULL;
    uint16_t port = (uint16_t)atoi(environment("PORT"));
    CHECK_OK(aliot_endpoint_create_for_host("localhost", port, &endpoint));
    if (is_set("CA_FILE")) {
        CHECK_OK(aliot_endpoint_set_ca_file(endpoint, environment("CA_FILE")));
    } else {
        CHECK_OK(aliot_endpoint_set_dangerous_plaintext(endpoint));
    }
    if (is_set("WEBSOCKET")) {
        CHECK_OK(aliot_endpoint_set_websocket(endpoint, "/mqtt"));
    }
    set_proxy(endpoint);
    return endpoint;
}

static bool keep(const aliot_identity *identity, void *userdata)
{
    (void)userdata;
    CHECK_OK(aliot_identity_save(identity, environment("IDENTITY_FILE")));
    return true;
}

/* The identity, and whatever goes with it. */
static aliot_identity *identity(const char *kind, aliot_endpoint *endpoint)
{
    aliot_identity *identity = NULL;
    if (strcmp(kind, "secret") == 0) {
        CHECK_OK(aliot_identity_create("a1pk", "lamp", take(), &identity));
    } else if (strcmp(kind, "token") == 0) {
        CHECK_OK(
            aliot_identity_create_with_token("a1pk", "born", "pushed-id", take(), &identity));
    } else if (strcmp(kind, "verbatim") == 0) {
        CHECK_OK(aliot_identity_create_verbatim("any id", "any user", take(), &identity));
    } else if (strcmp(kind, "file") == 0) {
        CHECK_OK(aliot_identity_load(environment("IDENTITY_FILE"), &identity));
    } else if (strcmp(kind, "register") == 0) {
        aliot_registration *registration = NULL;
        CHECK_OK(aliot_registration_create(endpoint, "a1pk", "listed", take(),
                                           ALIOT_REGISTRATION_KIND_PREREGISTERED, &registration));
        forget();
        CHECK_OK(aliot_registration_run(registration, PATIENCE_MS, keep, NULL, &identity));
        aliot_registration_destroy(registration);
    } else if (strcmp(kind, "certificate") == 0) {
        const char *certificate = environment("CERTIFICATE");
        const char *key = take();
        CHECK_OK(aliot_endpoint_set_client_certificate_pem(endpoint, certificate,
                                                           strlen(certificate), key, strlen(key)));
        CHECK_OK(aliot_identity_create_with_certificate("a1pk", "lamp", &identity));
    } else if (strcmp(kind, "certificate-file") == 0) {
        CHECK_OK(aliot_endpoint_set_client_certificate_files(
            endpoint, environment("CERTIFICATE_FILE"), environment("KEY_FILE")));
        CHECK_OK(aliot_identity_create_with_certificate("a1pk", "lamp", &identity));
    } else {
        CHECK(!"no such kind");
    }
    forget();
    return identity;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    aliot_endpoint *where = endpoint();
    aliot_identity *who = identity(argv[1], where);
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    aliot_token token = 0;
    CHECK_OK(aliot_config_create(who, where, &config));
    CHECK_OK(aliot_client_create(config, &client));
    CHECK_OK(aliot_client_start(client));
    if (is_set("STUCK")) {
        for (int ms = 0; refused == 0; ms++) {
            CHECK(ms < PATIENCE_MS);
            usleep(1000);
        }
        show("stuck");
    } else {
        CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
        CHECK_OK(aliot_client_publish(client, environment("TOPIC"), "hello", 5,
                                      ALIOT_QOS_AT_LEAST_ONCE, &token));
        CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
        show("connected");
    }

    CHECK_OK(aliot_client_stop(client, PATIENCE_MS));
    CHECK_OK(aliot_client_wait_stopped(client, PATIENCE_MS));
    aliot_client_destroy(client);
    aliot_config_destroy(config);
    aliot_identity_destroy(who);
    aliot_endpoint_destroy(where);
    show("destroyed");

    /* The test must find what is left on purpose. */
    char *volatile left = malloc(sizeof given);
    CHECK(left != NULL);
    strcpy(left, take());
    forget();
    show("planted");
    free(left);
    return EXIT_SUCCESS;
}

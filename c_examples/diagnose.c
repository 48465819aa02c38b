/*
 * Goes the way to the platform step by step and says how far it comes, one verdict a line: clock,
 * name, TCP on each port, TLS, sign-in. Through a proxy, name and port are the proxy's, because a
 * device behind one often has no name server: the proxy looks the platform's name up.
 *
 *   ALIOT_PRODUCT_KEY=... ALIOT_DEVICE_NAME=... ALIOT_DEVICE_SECRET=... \
 *   ALIOT_INSTANCE=iot-... ./diagnose
 *
 * The sign-in counts as a connection of the device: another one with its identity is replaced.
 * The exit status is 0 if all is well, 1 if something is not, 2 if nothing could be tried.
 * example.h lists what else the environment may say.
 */

#define _POSIX_C_SOURCE 200809L

#include "example.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ALL_WELL = 0, NOT_WELL = 1, NOT_TRIED = 2 };
enum { TCP_TIMEOUT_MS = 5000, SIGN_IN_TIMEOUT_MS = 20000, HOST_LEN = 256, ADDRESS_LEN = 64 };

static bool verdict(const char *step, bool ok, const char *text)
{
    printf("%-10s %s: %s\n", step, ok ? "ok" : "FAILED", text);
    return ok;
}

static void hint(const char *text)
{
    if (*text != '\0') {
        printf("%-10s %s\n", "", text);
    }
}

/* ---- Clock ----------------------------------------------------------------------------------- */

/* Certificates are judged by the clock. Nobody has used this program before 2026. */
static bool check_clock(void)
{
    const time_t earliest = 1767225600;
    char text[64] = "unknown";
    time_t now = time(NULL);
    struct tm utc;

    if (gmtime_r(&now, &utc) != NULL) {
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
    }
    if (verdict("clock", now >= earliest, text)) {
        return true;
    }
    hint("set the clock: with a wrong one no certificate is valid");
    return false;
}

/* ---- Name and TCP ---------------------------------------------------------------------------- */

/* Where the library will open a TCP connection to. */
typedef struct place {
    char host[HOST_LEN];
    char port[8];
    bool is_proxy;
} place;

static void host_name(char *host, size_t capacity)
{
    if (variable("ALIOT_HOST") != NULL) {
        snprintf(host, capacity, "%s", variable("ALIOT_HOST"));
    } else if (variable("ALIOT_INSTANCE") != NULL) {
        snprintf(host, capacity, "%s.mqtt.iothub.aliyuncs.com", variable("ALIOT_INSTANCE"));
    } else if (variable("ALIOT_CERTIFICATE_FILE") != NULL) {
        snprintf(host, capacity, "x509.itls.%s.aliyuncs.com", variable("ALIOT_REGION"));
    } else {
        snprintf(host, capacity, "%s.iot-as-mqtt.%s.aliyuncs.com", variable("ALIOT_PRODUCT_KEY"),
                 variable("ALIOT_REGION"));
    }
}

static const char *platform_port(void)
{
    if (variable("ALIOT_PORT") != NULL) {
        return variable("ALIOT_PORT");
    }
    if (variable("ALIOT_INSTANCE") != NULL) {
        return "8883";
    }
    return variable("ALIOT_CERTIFICATE_FILE") != NULL ? "1883" : "443";
}

static void find_place(place *to)
{
    uint16_t port;

    to->is_proxy = proxy_from_environment(to->host, sizeof to->host, &port);
    if (to->is_proxy) {
        snprintf(to->port, sizeof to->port, "%u", (unsigned)port);
    } else {
        host_name(to->host, sizeof to->host);
        snprintf(to->port, sizeof to->port, "%s", platform_port());
    }
}

static bool check_name(const place *to)
{
    const char *host = to->host;
    struct addrinfo hints = {0};
    struct addrinfo *found = NULL;
    char text[HOST_LEN + ADDRESS_LEN + 8];
    char address[ADDRESS_LEN];

    hints.ai_socktype = SOCK_STREAM;
    int error = getaddrinfo(host, to->port, &hints, &found);
    if (error != 0) {
        snprintf(text, sizeof text, "%s: %s", host, gai_strerror(error));
        verdict("name", false, text);
        hint(to->is_proxy
                 ? "check the name server and the proxy's name"
                 : "check the name server; a wrong product key, region or instance gives no name "
                   "either");
        return false;
    }
    for (const struct addrinfo *each = found; each != NULL; each = each->ai_next) {
        if (getnameinfo(each->ai_addr, each->ai_addrlen, address, sizeof address, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            snprintf(text, sizeof text, "%s is %s", host, address);
            verdict("name", true, text);
        }
    }
    freeaddrinfo(found);
    return true;
}

/* 0, or why not. Does not wait longer than the timeout. */
static int connect_in_time(int descriptor, const struct addrinfo *address)
{
    int error = 0;
    socklen_t length = sizeof error;
    struct pollfd writable = {descriptor, POLLOUT, 0};

    if (fcntl(descriptor, F_SETFL, O_NONBLOCK) != 0) {
        return errno;
    }
    if (connect(descriptor, address->ai_addr, address->ai_addrlen) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return errno;
    }
    if (poll(&writable, 1, TCP_TIMEOUT_MS) != 1) {
        return ETIMEDOUT;
    }
    return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

/* The first address that answers is enough. */
static bool check_tcp(const char *host, const char *port)
{
    struct addrinfo hints = {0};
    struct addrinfo *addresses = NULL;
    char step[16];
    int error = EHOSTUNREACH;

    snprintf(step, sizeof step, "TCP %s", port);
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &addresses) != 0) {
        return verdict(step, false, "the name cannot be looked up any more");
    }
    for (const struct addrinfo *each = addresses; each != NULL && error != 0;
         each = each->ai_next) {
        int descriptor = socket(each->ai_family, SOCK_STREAM, 0);
        error = descriptor < 0 ? errno : connect_in_time(descriptor, each);
        if (descriptor >= 0) {
            close(descriptor);
        }
    }
    freeaddrinfo(addresses);
    return verdict(step, error == 0, error == 0 ? "open" : strerror(error));
}

/* Only the port that the library will use counts; the others show what a firewall lets through. */
static bool check_ports(const place *to)
{
    const char *ports[] = {"8883", "443", "1883"};
    bool has_others = !to->is_proxy && variable("ALIOT_HOST") == NULL;
    bool ok = check_tcp(to->host, to->port);

    for (size_t i = 0; has_others && i < sizeof ports / sizeof *ports; i++) {
        if (strcmp(ports[i], to->port) != 0 && check_tcp(to->host, ports[i]) && !ok) {
            hint("this port is open: ALIOT_PORT may choose it");
        }
    }
    if (!ok) {
        hint(to->is_proxy ? "the proxy is not there, or a firewall is in between"
                          : "a firewall in between, or a host that is not the platform's");
    }
    return ok;
}

/* ---- Proxy, TLS and sign-in ------------------------------------------------------------------ */

/* What the first attempt came to. */
typedef struct attempt {
    bool over;
    bool ok;
} attempt;

/* What lies before the exchange with the platform, once that has been reached. */
static void passed_tls(void)
{
    char host[HOST_LEN];
    uint16_t port;

    if (proxy_from_environment(host, sizeof host, &port)) {
        verdict("proxy", true, "it has connected to the platform");
    }
    verdict("TLS", true, "the certificate leads to a trusted root and is for this host");
}

/* The stage says how far the attempt came; some settings of TLS are checked before all else. */
static void tell_failure(const aliot_event *event)
{
    switch (event->stage) {
    case ALIOT_STAGE_PROXY:
        verdict("proxy", false, event->text);
        break;
    case ALIOT_STAGE_TLS:
        verdict("TLS", false, event->text);
        hint(event->tls_detail);
        break;
    case ALIOT_STAGE_WEBSOCKET:
        passed_tls();
        verdict("WebSocket", false, event->text);
        break;
    case ALIOT_STAGE_MQTT:
    case ALIOT_STAGE_PLATFORM:
        passed_tls();
        verdict("sign-in", false, event->text);
        break;
    default: /* looking up the name, TCP, or the library itself: TLS was not reached */
        verdict("connect", false, event->text);
        break;
    }
    hint(event->hint);
}

/* Runs inside aliot_runtime_poll, on the main thread. */
static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    attempt *result = userdata;

    (void)client;
    if (result->over) {
        return;
    }
    if (event->kind == ALIOT_EVENT_KIND_CONNECTED) {
        result->over = result->ok = true;
        passed_tls();
        verdict("sign-in", true, "the platform has accepted the device (CONNACK 0)");
    } else if (event->kind == ALIOT_EVENT_KIND_CONNECT_FAILED) {
        result->over = true;
        tell_failure(event);
    }
}

/* Not the clock that is diagnosed, which may be set meanwhile. */
static long long monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int try_to_sign_in(aliot_client *client, aliot_runtime *runtime, attempt *result)
{
    long long deadline = monotonic_ms() + SIGN_IN_TIMEOUT_MS;

    if (aliot_client_set_event_callback(client, on_event, result, NULL) != ALIOT_RESULT_OK ||
        aliot_client_start(client) != ALIOT_RESULT_OK) {
        fail("start the client");
        return NOT_TRIED;
    }
    while (!result->over && monotonic_ms() < deadline) {
        if (aliot_runtime_poll(runtime, 1000, NULL) != ALIOT_RESULT_OK) {
            fail("poll the runtime");
            return NOT_TRIED;
        }
    }
    if (!result->over) {
        verdict("sign-in", false, "nothing came of it in time");
    }
    return result->ok ? ALL_WELL : NOT_WELL;
}

static int check_sign_in(const aliot_identity *identity, const aliot_endpoint *endpoint)
{
    aliot_config *config = NULL;
    aliot_runtime *runtime = NULL;
    aliot_client *client = NULL;
    attempt result = {false, false}; /* user data: it must outlive the client */
    int status = NOT_TRIED;

    if (aliot_config_create(identity, endpoint, &config) != ALIOT_RESULT_OK ||
        aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime) != ALIOT_RESULT_OK ||
        aliot_client_create_on_runtime(config, runtime, &client) != ALIOT_RESULT_OK) {
        fail("set up the client");
    } else {
        status = try_to_sign_in(client, runtime, &result);
    }

    aliot_client_destroy(client);
    aliot_runtime_destroy(runtime);
    aliot_config_destroy(config);
    return status;
}

int main(void)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    place to;
    int status = NOT_TRIED;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (identity_from_environment(&identity) && endpoint_from_environment(&endpoint)) {
        bool clock_ok = check_clock();
        find_place(&to);
        status = NOT_WELL;
        if (check_name(&to) && check_ports(&to)) {
            status = check_sign_in(identity, endpoint);
        }
        if (!clock_ok && status == ALL_WELL) {
            status = NOT_WELL;
        }
    }

    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return status;
}

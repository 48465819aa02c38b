/* Sixteen threads that do everything at once on four connections, while callbacks publish and
 * subscribe, the network is cut, and one connection after another ends in a way of its own: each
 * operation completes once, each user data is released once, and nothing follows a destroy.
 *
 *   ALIOT_STRESS_ROUNDS=100   how often; once if it is not set
 *
 * What only callbacks touch are plain members: callbacks of one client come one at a time, and
 * ThreadSanitizer sees it if they do not. Counts that threads share are relaxed, for their order
 * must not hide a lack of it in the library. */

#include "platform.h"

#include <pthread.h>
#include <stdatomic.h>

enum { CLIENTS = 4, THREADS = 16, TOPICS = 8, EACH = 250 };

static const aliot_qos Q0 = ALIOT_QOS_AT_MOST_ONCE, Q1 = ALIOT_QOS_AT_LEAST_ONCE;

/* ---- What was accepted, and what has ended ------------------------------------------------- */

typedef struct tokens {
    aliot_token *list;
    size_t count, room;
    size_t nameless; /* accepted without asking for the token */
} tokens;

static void add(tokens *t, aliot_token token)
{
    if (t->count == t->room) {
        t->room = t->room * 2 + 64;
        t->list = realloc(t->list, t->room * sizeof *t->list);
        CHECK(t->list != NULL);
    }
    t->list[t->count++] = token;
}

static int compare(const void *a, const void *b)
{
    aliot_token x = *(const aliot_token *)a, y = *(const aliot_token *)b;
    return (x > y) - (x < y);
}

typedef struct peer {
    int number;
    aliot_client *client;
    aliot_runtime *runtime;
    tokens completed, accepted; /* by callbacks */
    size_t seen;
    atomic_int completions;
    atomic_bool end_in_callback;
    atomic_bool over; /* nothing may call back any more */
    atomic_int subscribed, released;
    atomic_bool completions_released;
} peer;

static peer peers[CLIENTS];

static int count(atomic_int *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void increment(atomic_int *value)
{
    atomic_fetch_add_explicit(value, 1, memory_order_relaxed);
}

/* ---- The calls ----------------------------------------------------------------------------- */

/* The user data of one subscription; freed when it is released. */
typedef struct subscription {
    peer *peer;
    char alive;
} subscription;

static void on_message(aliot_client *client, const aliot_message *message, void *userdata);

static void on_unsubscribed(void *userdata)
{
    subscription *s = userdata;
    increment(&s->peer->released);
    free(s);
}

/* Whether or not the call had looked the handle up when the client was destroyed. */
static bool is_gone(aliot_result result)
{
    return result == ALIOT_RESULT_BAD_HANDLE;
}

/* Only a wait is cancelled. */
static aliot_result waited(aliot_result result)
{
    return result == ALIOT_RESULT_CANCELLED ? ALIOT_RESULT_BAD_HANDLE : result;
}

/* Counts what was accepted; true unless the client has gone. */
static bool accept_result(aliot_result result, tokens *accepted, const aliot_token *token)
{
    if (result == ALIOT_RESULT_OK && token != NULL)
        add(accepted, *token);
    else if (result == ALIOT_RESULT_OK)
        accepted->nameless++;
    else
        CHECK(result == ALIOT_RESULT_OUTBOX_FULL || result == ALIOT_RESULT_CLOSING ||
              is_gone(result));
    return !is_gone(result);
}

static const char *topic_of(const peer *p, unsigned n, char text[64])
{
    snprintf(text, 64, "/a1test/stress%d/user/t%u", p->number, n % TOPICS);
    return text;
}

static bool publish(peer *p, tokens *accepted, unsigned n, aliot_qos qos, bool named)
{
    char topic[64];
    aliot_token token = 0;
    aliot_result result = aliot_client_publish(p->client, topic_of(p, n, topic), "hello", 5, qos,
                                               named ? &token : NULL);
    if (!named && qos == Q0)
        return !is_gone(result); /* has no completion */
    return accept_result(result, accepted, named ? &token : NULL);
}

static bool publish_expiring(peer *p, tokens *accepted, unsigned n)
{
    char topic[64];
    aliot_token token = 0;
    return accept_result(aliot_client_publish_expiring(p->client, topic_of(p, n, topic), "x", 1,
                                                       1 + n % 50, &token),
                         accepted, &token);
}

static bool subscribe(peer *p, tokens *accepted, unsigned n)
{
    char filter[64];
    aliot_token token = 0;
    subscription *s = malloc(sizeof *s);
    CHECK(s != NULL);
    *s = (subscription){.peer = p, .alive = 1};
    aliot_result result = aliot_client_subscribe(p->client, topic_of(p, n, filter), Q1, on_message,
                                                 s, on_unsubscribed, &token);
    if (result == ALIOT_RESULT_OK)
        increment(&p->subscribed);
    else
        free(s); /* has not been touched */
    return accept_result(result, accepted, &token);
}

static bool unsubscribe(peer *p, tokens *accepted, unsigned n)
{
    char filter[64];
    return accept_result(aliot_client_unsubscribe(p->client, topic_of(p, n, filter), NULL),
                         accepted, NULL);
}

/* ---- Callbacks, which publish and subscribe ------------------------------------------------ */

static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    peer *p = userdata;
    CHECK(!p->over && client == p->client);
    p->seen++;
    if (event->kind == ALIOT_EVENT_KIND_CONNECTED) {
        subscribe(p, &p->accepted, (unsigned)p->seen);
        publish(p, &p->accepted, (unsigned)p->seen, Q1, true);
    }
}

static void on_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    subscription *s = userdata;
    peer *p = s->peer;
    CHECK(!p->over && client == p->client && s->alive == 1);
    CHECK(message->payload_len == 5 || message->payload_len == 1);
    p->seen++;
    if (p->seen % 8 == 0)
        publish(p, &p->accepted, (unsigned)p->seen, Q0, true);
    if (p->seen % 32 == 0)
        subscribe(p, &p->accepted, (unsigned)p->seen); /* perhaps in place of this very one */
    CHECK(s->alive == 1);
}

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    peer *p = userdata;
    CHECK(!p->over && client == p->client);
    CHECK(completion->result == ALIOT_RESULT_OK || completion->result == ALIOT_RESULT_CANCELLED ||
          completion->result == ALIOT_RESULT_EXPIRED);
    add(&p->completed, completion->token);
    increment(&p->completions);
    if (p->completed.count % 16 == 0)
        publish(p, &p->accepted, (unsigned)p->completed.count, Q1, false);
    if (p->end_in_callback && completion->result == ALIOT_RESULT_OK)
        aliot_client_destroy(client);
}

static void on_completions_released(void *userdata)
{
    peer *p = userdata;
    CHECK(!p->completions_released);
    p->completions_released = true;
}

/* ---- The threads --------------------------------------------------------------------------- */

typedef struct worker {
    pthread_t thread;
    unsigned number;
    tokens accepted[CLIENTS];
} worker;

/* One call of one of the kinds; false once the client has gone. */
static bool use(peer *p, tokens *accepted, unsigned step)
{
    aliot_result result = ALIOT_RESULT_OK;
    switch (step % 16) {
    case 0:
        return publish(p, accepted, step, Q0, false);
    case 1:
        return publish(p, accepted, step, Q0, true);
    case 2:
    case 3:
        return publish(p, accepted, step, Q1, false);
    case 4:
        return publish_expiring(p, accepted, step);
    case 5:
    case 6:
        return subscribe(p, accepted, step / 16);
    case 7:
        return unsubscribe(p, accepted, step / 16);
    case 8:
        CHECK(aliot_client_state(p->client) <= ALIOT_STATE_STOPPING);
        for (int counter = 1; counter <= 20; counter++)
            (void)aliot_client_counter(p->client, (aliot_counter)counter);
        break;
    case 9:
        result = aliot_client_retry_now(p->client);
        break;
    case 10:
        result = waited(aliot_client_wait_flushed(p->client, 1));
        break;
    case 11:
        result = waited(aliot_client_wait_room(p->client, 100));
        break;
    case 12:
        result = waited(aliot_client_wait_connected(p->client, 1));
        break;
    case 13:
        /* The second connection is stopped and started all the time. */
        if (p->number == 1 && step % 256 == 13)
            result = aliot_client_stop(p->client, step % 3);
        break;
    case 14:
        if (p->number == 1)
            result = aliot_client_start(p->client);
        break;
    default:
        return publish(p, accepted, step, Q1, true);
    }
    CHECK(result == ALIOT_RESULT_OK || result == ALIOT_RESULT_TIMEOUT ||
          result == ALIOT_RESULT_INVALID_STATE || is_gone(result));
    return !is_gone(result);
}

static void *work(void *argument)
{
    worker *w = argument;
    bool gone[CLIENTS] = {false};
    int left = CLIENTS;
    for (unsigned step = w->number; left > 0; step++) {
        unsigned at = step / 16 % CLIENTS;
        if (!gone[at] && !use(&peers[at], &w->accepted[at], step)) {
            gone[at] = true;
            left--;
        }
    }
    return NULL;
}

static atomic_bool stop_cutting;

/* Cuts a connection whenever it has got somewhere. One that is not there cannot be cut. */
static void *cut(void *nothing)
{
    char command[64], answer[256];
    int due[CLIENTS] = {0};
    for (unsigned step = 0; !stop_cutting; step++) {
        peer *p = &peers[step % CLIENTS];
        if (count(&p->completions) < due[p->number]) {
            check_sleep_ms(1);
            continue;
        }
        due[p->number] = count(&p->completions) + EACH / 10;
        snprintf(command, sizeof command, "%s a1test stress%d",
                 step / CLIENTS % 2 ? "cut" : "reset", p->number);
        (void)try_control(command, answer);
    }
    return nothing;
}

static atomic_bool stop_polling;

static void *poll_runtime(void *runtime)
{
    while (!stop_polling) {
        size_t ran = 0;
        CHECK_OK(aliot_runtime_poll(runtime, 5, &ran));
    }
    return NULL;
}

/* ---- The test ------------------------------------------------------------------------------ */

static void begin(int number)
{
    peer *p = &peers[number];
    char name[32];
    memset(p, 0, sizeof *p);
    p->number = number;
    snprintf(name, sizeof name, "stress%d", number);
    aliot_config *config = config_to(platform_endpoint(), name, "canary-device-secret");
    CHECK_OK(aliot_config_set_filters_per_packet(config, 8)); /* the simulator takes no more */
    /* The third on threads of its own, the fourth on a thread of ours; the others share. */
    if (number < 2) {
        CHECK_OK(aliot_client_create(config, &p->client));
    } else {
        CHECK_OK(aliot_runtime_create(number == 2 ? ALIOT_DISPATCH_THREAD : ALIOT_DISPATCH_POLL,
                                      &p->runtime));
        CHECK_OK(aliot_client_create_on_runtime(config, p->runtime, &p->client));
    }
    aliot_config_destroy(config);
    CHECK_OK(aliot_client_set_event_callback(p->client, on_event, p, NULL));
    CHECK_OK(aliot_client_set_completion_callback(p->client, on_completion, p,
                                                  on_completions_released));
    CHECK_OK(aliot_client_start(p->client));
}

/* The four ways in which a connection ends. */
static void end(peer *p)
{
    CHECK_EVENTUALLY(count(&p->completions) >= EACH);
    CHECK_EVENTUALLY(aliot_client_counter(p->client, ALIOT_COUNTER_CONNECTS) >= 3);
    switch (p->number) {
    case 0:
        CHECK_OK(aliot_client_stop(p->client, PATIENCE_MS));
        CHECK_OK(aliot_client_wait_stopped(p->client, PATIENCE_MS));
        break;
    case 2:
        p->end_in_callback = true;
        CHECK_EVENTUALLY(p->completions_released);
        break;
    case 3:
        CHECK_OK(aliot_client_stop(p->client, 0));
        break;
    default:
        break;
    }
    aliot_client_destroy(p->client);
    CHECK(p->completions_released);
    p->over = true;
    CHECK(aliot_client_publish(p->client, "/t", "x", 1, Q0, NULL) == ALIOT_RESULT_BAD_HANDLE);
}

/* Each operation that was accepted has completed, and none twice. */
static void check_peer(peer *p, worker *workers)
{
    tokens *done = &p->completed;
    size_t accepted = p->accepted.count + p->accepted.nameless;
    qsort(done->list, done->count, sizeof *done->list, compare);
    for (size_t i = 1; i < done->count; i++)
        CHECK(done->list[i - 1] != done->list[i]);
    for (int w = -1; w < THREADS; w++) {
        tokens *by = w < 0 ? &p->accepted : &workers[w].accepted[p->number];
        for (size_t i = 0; i < by->count; i++)
            CHECK(bsearch(&by->list[i], done->list, done->count, sizeof *done->list, compare));
        if (w >= 0)
            accepted += by->count + by->nameless;
        free(by->list);
    }
    CHECK(done->count == accepted);
    CHECK((size_t)count(&p->completions) == accepted);
    CHECK(accepted >= EACH);
    CHECK_EVENTUALLY(count(&p->released) == count(&p->subscribed)); /* at once, but for the third */
    free(done->list);
}

static void everything_at_once_completes_once(void)
{
    worker workers[THREADS];
    pthread_t cutter, poller;
    stop_cutting = stop_polling = false;
    for (int i = 0; i < CLIENTS; i++)
        begin(i);
    CHECK(pthread_create(&poller, NULL, poll_runtime, peers[3].runtime) == 0);
    CHECK(pthread_create(&cutter, NULL, cut, NULL) == 0);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){.number = i * 21};
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < CLIENTS; i++)
        end(&peers[i]);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
    stop_cutting = stop_polling = true;
    CHECK(pthread_join(cutter, NULL) == 0);
    CHECK(pthread_join(poller, NULL) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        aliot_runtime_destroy(peers[i].runtime);
        check_peer(&peers[i], workers);
    }
}

int main(void)
{
    const char *rounds = getenv("ALIOT_STRESS_ROUNDS");
    for (int round = rounds != NULL ? atoi(rounds) : 1; round > 0; round--)
        RUN(everything_at_once_completes_once);
    return 0;
}

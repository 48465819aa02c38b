/* What becomes of a runtime's callbacks and threads when its handle goes, and the clients stay. */

#include "fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

static aliot_runtime *runtime;
static aliot_client *other;
static atomic_int events, completions, releases, ends;
static atomic_bool polling_is_over;

static void start_over(void)
{
    runtime = NULL;
    other = NULL;
    events = completions = releases = ends = 0;
    polling_is_over = false;
}

/* Of the directory of the process's threads, or descriptors. */
static int entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static int threads_and_descriptors(void)
{
    return entries("/proc/self/task") + entries("/proc/self/fd");
}

static void on_release(void *userdata)
{
    (void)userdata;
    releases++;
}

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)client, (void)userdata;
    CHECK(completion->result == ALIOT_RESULT_CANCELLED);
    completions++;
}

/* On the runtime, or the shared one. The device may connect as often as there are tests. */
static aliot_client *client_on(aliot_runtime *where)
{
    aliot_client *client = NULL;
    aliot_config *config = fixture_config();
    CHECK_OK(aliot_config_use_private_profile(config));
    if (where != NULL)
        CHECK_OK(aliot_client_create_on_runtime(config, where, &client));
    else
        CHECK_OK(aliot_client_create(config, &client));
    aliot_config_destroy(config);
    return client;
}

/* A client of the runtime that has a completion to come and data to release. */
static aliot_client *owing_client(void)
{
    aliot_client *client = client_on(runtime);
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, NULL, on_release));
    CHECK_OK(aliot_client_publish(client, "/pk/device/user/t", "x", 1, ALIOT_QOS_AT_LEAST_ONCE,
                                  NULL));
    return client;
}

static void on_event_count(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client, (void)event, (void)userdata;
    events++;
}

static void on_event_destroy(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client, (void)event;
    if (events++ == 0) {
        aliot_client_destroy(other);
        aliot_runtime_destroy(runtime);
        check_sleep_ms(20);
        /* In the poll of that runtime, where nobody else may run them meanwhile. */
        if (userdata == runtime)
            CHECK(completions == 0 && releases == 0);
    }
}

static void on_event_never(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client, (void)event, (void)userdata;
    CHECK(!"an event after the runtime was destroyed");
}

/* ---- What a poll runtime owes when nobody can poll it any more ------------------------------ */

static void the_poll_in_which_a_runtime_is_destroyed_delivers_what_it_owes(void)
{
    start_over();
    int before = threads_and_descriptors();
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    aliot_client *client = owing_client();
    CHECK_OK(aliot_client_set_event_callback(client, on_event_destroy, runtime, NULL));
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(aliot_client_counter(client, ALIOT_COUNTER_CONNECT_FAILURES) > 0);
    other = owing_client();
    aliot_client *survivor = client_on(runtime);
    CHECK_OK(aliot_client_set_event_callback(survivor, on_event_never, NULL, NULL));
    CHECK_OK(aliot_client_start(survivor));
    CHECK_EVENTUALLY(aliot_client_counter(survivor, ALIOT_COUNTER_CONNECT_FAILURES) > 0);
    check_sleep_ms(50);
    CHECK_OK(aliot_runtime_poll(runtime, 0, NULL));
    CHECK(events > 0);
    CHECK(completions == 1 && releases == 1);
    CHECK(aliot_runtime_poll(runtime, 0, NULL) == ALIOT_RESULT_BAD_HANDLE);
    aliot_client_destroy(survivor);
    aliot_client_destroy(client);
    CHECK(completions == 2 && releases == 2);
    CHECK_EVENTUALLY(threads_and_descriptors() <= before);
}

/* Before that it had callbacks to run, which nobody will, or none. */
static void a_client_that_outlives_its_handle_may_be_destroyed_in_a_callback(bool has_callbacks)
{
    start_over();
    int before = threads_and_descriptors();
    aliot_client *client = client_on(NULL);
    CHECK_OK(aliot_client_set_event_callback(client, on_event_destroy, NULL, NULL));
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    other = owing_client();
    if (!has_callbacks)
        CHECK_OK(aliot_runtime_poll(runtime, 0, NULL));
    aliot_runtime_destroy(runtime);
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(completions == 1 && releases == 1);
    aliot_client_destroy(client);
    CHECK(completions == 1 && releases == 1);
    CHECK_EVENTUALLY(threads_and_descriptors() <= before);
}

static void a_destroyed_handle_leaves_no_client_without_its_release(void)
{
    a_client_that_outlives_its_handle_may_be_destroyed_in_a_callback(true);
    a_client_that_outlives_its_handle_may_be_destroyed_in_a_callback(false);
}

/* As the last two at once: the runtime goes in another one's callback, after its client. */
static void a_runtime_may_be_destroyed_in_a_callback_of_another(void)
{
    start_over();
    int before = threads_and_descriptors();
    aliot_client *client = client_on(NULL);
    CHECK_OK(aliot_client_set_event_callback(client, on_event_destroy, NULL, NULL));
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    other = owing_client();
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(completions == 1 && releases == 1);
    aliot_client_destroy(client);
    CHECK_EVENTUALLY(threads_and_descriptors() <= before);
}

static bool on_end(const aliot_registration_end *end, void *userdata)
{
    (void)end, (void)userdata;
    ends++;
    return false;
}

/* It ends because nobody answers, when nobody polls any more. */
static void a_registration_that_outlives_the_handle_only_releases(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    aliot_endpoint *endpoint = NULL;
    aliot_registration *registration = NULL;
    start_over();
    int before = threads_and_descriptors();
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    CHECK_OK(aliot_endpoint_create_for_host("127.0.0.1", ntohs(address.sin_port), &endpoint));
    CHECK_OK(aliot_registration_create(endpoint, "pk", "device", "product-secret",
                                       ALIOT_REGISTRATION_KIND_PREREGISTERED, &registration));
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    /* Another client keeps the runtime: the release does not wait for its end. */
    aliot_client *client = owing_client();
    CHECK_OK(aliot_registration_start(registration, runtime, 500, on_end, NULL, on_release));
    aliot_runtime_destroy(runtime);
    CHECK(releases == 0);
    CHECK_EVENTUALLY(releases == 1);
    CHECK(ends == 0);
    aliot_client_destroy(client);
    aliot_registration_destroy(registration);
    aliot_endpoint_destroy(endpoint);
    close(listener);
    CHECK_EVENTUALLY(threads_and_descriptors() <= before);
}

static pthread_t destroyer;

static bool on_end_of_destroy(const aliot_registration_end *end, void *userdata)
{
    (void)userdata;
    CHECK(end->result == ALIOT_RESULT_NETWORK && releases == 0);
    CHECK(pthread_equal(pthread_self(), destroyer));
    ends++;
    return false;
}

/* What the platform gives, it gives once: it is handed over also if nobody has polled for it. */
static void a_registration_that_has_ended_is_handed_over_when_the_handle_goes(void)
{
    start_over();
    int before = threads_and_descriptors();
    aliot_registration *registration = fixture_registration();
    CHECK_OK(aliot_registration_set_connects_per_minute(registration, 0));
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    CHECK_OK(aliot_registration_start(registration, runtime, 2000, on_end_of_destroy, NULL,
                                      on_release));
    struct pollfd ended = {.fd = aliot_runtime_fd(runtime), .events = POLLIN};
    CHECK(poll(&ended, 1, 10000) == 1);
    CHECK(ends == 0 && releases == 0);
    destroyer = pthread_self();
    aliot_runtime_destroy(runtime);
    CHECK(ends == 1 && releases == 1);
    aliot_registration_destroy(registration);
    CHECK_EVENTUALLY(threads_and_descriptors() <= before);
}

/* ---- A poll in progress --------------------------------------------------------------------- */

static void *poll_until_refused(void *argument)
{
    aliot_result result = ALIOT_RESULT_OK;
    (void)argument;
    while (result == ALIOT_RESULT_OK)
        result = aliot_runtime_poll(runtime, UINT32_MAX, NULL);
    /* The latter if it had looked the handle up before it was destroyed. */
    CHECK(result == ALIOT_RESULT_BAD_HANDLE || result == ALIOT_RESULT_INVALID_STATE);
    polling_is_over = true;
    return NULL;
}

static void a_poll_in_progress_ends_with_the_handle(void)
{
    pthread_t poller;
    start_over();
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    aliot_client *client = client_on(runtime);
    CHECK_OK(aliot_client_set_event_callback(client, on_event_count, NULL, NULL));
    CHECK(pthread_create(&poller, NULL, poll_until_refused, NULL) == 0);
    check_sleep_ms(100);
    aliot_runtime_destroy(runtime);
    CHECK_EVENTUALLY(polling_is_over);
    CHECK(pthread_join(poller, NULL) == 0);
    CHECK_OK(aliot_client_start(client));
    check_sleep_ms(100);
    CHECK(events == 0);
    aliot_client_destroy(client);
}

static void on_event_take_long(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client, (void)event, (void)userdata;
    events++;
    check_sleep_ms(300);
    completions++;
}

static void destroying_a_runtime_waits_for_the_callback_that_its_poll_runs(void)
{
    pthread_t poller;
    start_over();
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    aliot_client *client = client_on(runtime);
    CHECK_OK(aliot_client_set_event_callback(client, on_event_take_long, NULL, NULL));
    CHECK(pthread_create(&poller, NULL, poll_until_refused, NULL) == 0);
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(events > 0);
    aliot_runtime_destroy(runtime);
    int seen = events;
    CHECK(completions == seen);
    check_sleep_ms(100);
    CHECK(events == seen);
    CHECK(pthread_join(poller, NULL) == 0);
    aliot_client_destroy(client);
}

/* ---- Threads ------------------------------------------------------------------------------- */

static bool on_end_take_long(const aliot_registration_end *end, void *userdata)
{
    (void)end, (void)userdata;
    events++;
    while (!polling_is_over)
        check_sleep_ms(1);
    ends++;
    return false;
}

static void on_release_after_a_while(void *userdata)
{
    (void)userdata;
    check_sleep_ms(100);
}

/* The client is the last that holds the shared runtime: its driver is gone when the release returns.
 * Who waited for the threads would wait for a callback that waits for this thread. */
static void destroying_the_last_client_waits_for_no_callback_but_its_own(void)
{
    start_over();
    int before = threads_and_descriptors();
    aliot_registration *registration = fixture_registration();
    aliot_client *client = client_on(NULL);
    CHECK_OK(aliot_client_set_event_callback(client, on_event_count, NULL,
                                             on_release_after_a_while));
    CHECK_OK(aliot_registration_start(registration, NULL, 2000, on_end_take_long, NULL, NULL));
    CHECK_EVENTUALLY(events == 1);
    check_sleep_ms(50);
    alarm(10);
    aliot_client_destroy(client);
    alarm(0);
    CHECK(ends == 0);
    polling_is_over = true;
    CHECK_EVENTUALLY(ends == 1);
    aliot_registration_destroy(registration);
    CHECK_EVENTUALLY(threads_and_descriptors() <= before);
}

static bool on_end_destroy(const aliot_registration_end *end, void *userdata)
{
    (void)end, (void)userdata;
    aliot_runtime_destroy(runtime);
    ends++;
    return false;
}

/* That the system refuses to let a thread wait for itself is seen in the log alone. */
static void on_record(const aliot_log_record *record, void *userdata)
{
    (void)userdata;
    CHECK(strstr(record->text, "panic") == NULL);
}

/* Nothing uses the runtime any more, and the thread that destroys it is its own. */
static void the_end_of_a_registration_may_destroy_its_runtime(void)
{
    start_over();
    int before = threads_and_descriptors();
    aliot_registration *registration = fixture_registration();
    CHECK_OK(aliot_log_set_callback(ALIOT_LOG_LEVEL_WARN, on_record, NULL, NULL));
    CHECK_OK(aliot_registration_set_connects_per_minute(registration, 0));
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_THREAD, &runtime));
    CHECK_OK(aliot_registration_start(registration, runtime, 2000, on_end_destroy, NULL,
                                      on_release));
    CHECK_EVENTUALLY(ends == 1 && releases == 1);
    CHECK_OK(aliot_log_set_callback(ALIOT_LOG_LEVEL_WARN, NULL, NULL, NULL));
    aliot_registration_destroy(registration);
    CHECK_EVENTUALLY(threads_and_descriptors() <= before);
}

/* Checkers would see the threads at the end of the process. Descriptors, which a thread closes at
 * its end, because the system may still list a thread that has been waited for. */
static void destroying_a_runtime_that_nobody_uses_waits_for_its_threads(void)
{
    const aliot_dispatch kinds[] = {ALIOT_DISPATCH_THREAD, ALIOT_DISPATCH_POLL};
    int before = entries("/proc/self/fd");
    for (int i = 0; i < 50; i++) {
        CHECK_OK(aliot_runtime_create(kinds[i % 2], &runtime));
        aliot_runtime_destroy(runtime);
        CHECK(entries("/proc/self/fd") <= before);
    }
}

static void *nothing(void *argument)
{
    return argument;
}

int main(void)
{
    /* ThreadSanitizer starts a thread of its own with the first of the program. */
    pthread_t first;
    CHECK(pthread_create(&first, NULL, nothing, NULL) == 0);
    CHECK(pthread_join(first, NULL) == 0);
    RUN(the_poll_in_which_a_runtime_is_destroyed_delivers_what_it_owes);
    RUN(a_destroyed_handle_leaves_no_client_without_its_release);
    RUN(a_runtime_may_be_destroyed_in_a_callback_of_another);
    RUN(a_registration_that_outlives_the_handle_only_releases);
    RUN(a_registration_that_has_ended_is_handed_over_when_the_handle_goes);
    RUN(a_poll_in_progress_ends_with_the_handle);
    RUN(destroying_a_runtime_waits_for_the_callback_that_its_poll_runs);
    RUN(destroying_the_last_client_waits_for_no_callback_but_its_own);
    RUN(the_end_of_a_registration_may_destroy_its_runtime);
    RUN(destroying_a_runtime_that_nobody_uses_waits_for_its_threads);
    return 0;
}

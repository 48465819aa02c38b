/* What surrounds the library: fork, exec, signals, dlopen, exit, small stacks.
 *
 *   ALIOT_LONG=1   100 children instead of 30, a storm of 60 s, a copy loaded 100 times instead of 10 */
#define _GNU_SOURCE

#include "platform.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>

static const aliot_qos Q1 = ALIOT_QOS_AT_LEAST_ONCE;
static const char *program;

static atomic_int completions;
static atomic_int acknowledged;
static atomic_int releases;

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)client, (void)userdata;
    completions++;
    acknowledged += completion->result == ALIOT_RESULT_OK;
}

static void on_release(void *userdata)
{
    (void)userdata;
    releases++;
}

static aliot_client *connected_client(void)
{
    aliot_client *client = platform_client();
    completions = acknowledged = releases = 0;
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, NULL, on_release));
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
    return client;
}

static void publish(aliot_client *client, int messages)
{
    static const char payload[2000];
    for (int i = 0; i < messages; i++) {
        while (aliot_client_publish(client, TOPIC, payload, sizeof payload, Q1, NULL) !=
               ALIOT_RESULT_OK)
            check_sleep_ms(1);
    }
}

/* ---- fork ---------------------------------------------------------------------------------- */

static atomic_bool stop_publishing;

static void *publish_until_told(void *client)
{
    while (!stop_publishing) {
        publish(client, 1);
        check_sleep_ms(1);
    }
    return NULL;
}

static void child_of_fork(aliot_client *client, aliot_runtime *runtime)
{
    aliot_runtime *mine = NULL;
    aliot_identity *identity = NULL;
    alarm(20);
    CHECK(aliot_client_publish(client, TOPIC, "x", 1, Q1, NULL) == ALIOT_RESULT_BAD_HANDLE);
    CHECK(aliot_client_wait_flushed(client, 1000) == ALIOT_RESULT_BAD_HANDLE);
    CHECK(aliot_client_stop(client, 0) == ALIOT_RESULT_BAD_HANDLE);
    CHECK(aliot_client_retry_now(client) == ALIOT_RESULT_BAD_HANDLE);
    CHECK(aliot_client_unsubscribe(client, TOPIC, NULL) == ALIOT_RESULT_BAD_HANDLE);
    CHECK(aliot_runtime_poll(runtime, 1000, NULL) == ALIOT_RESULT_BAD_HANDLE);
    CHECK(aliot_runtime_fd(runtime) == -1);
    CHECK(aliot_runtime_create(ALIOT_DISPATCH_THREAD, &mine) == ALIOT_RESULT_INVALID_STATE);
    CHECK(aliot_identity_create("p", "d", "s", &identity) == ALIOT_RESULT_INVALID_STATE);
    CHECK(aliot_last_error_stage() == ALIOT_STAGE_STATE);
    CHECK(aliot_clock_set_floor_s(1) == ALIOT_RESULT_INVALID_STATE);
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_CONNECTS) == 0);
    aliot_client_destroy(client);
    aliot_runtime_destroy(runtime);
    raise(SIGKILL); /* not exit: what threads held that are not here would count as leaked */
}

/* The locks of the library are in use at the moment of the fork. */
static void children_get_errors_and_the_parent_does_not_notice(void)
{
    aliot_runtime *runtime = NULL;
    aliot_client *client = connected_client();
    pthread_t publisher;
    stop_publishing = false;
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    CHECK(pthread_create(&publisher, NULL, publish_until_told, client) == 0);
    const int children = check_is_long() ? 100 : 30;
    for (int round = 0; round < children; round++) {
        int status = 0;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            child_of_fork(client, runtime);
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    stop_publishing = true;
    CHECK(pthread_join(publisher, NULL) == 0);
    CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_CONNECTS) == 1);
    aliot_client_destroy(client);
    CHECK(completions == acknowledged);
    aliot_runtime_destroy(runtime);
    RAN(children);
}

/* ---- exec ---------------------------------------------------------------------------------- */

/* Runs this program again as `mode`. Returns its exit status, or -1 after a signal. */
static int run_again(const char *mode)
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        execl(program, program, mode, (char *)NULL);
        raise(SIGKILL);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Open descriptors, as an exit status. */
static int count_descriptors(void)
{
    int count = 0;
    for (int descriptor = 0; descriptor < 100; descriptor++)
        count += fcntl(descriptor, F_GETFD) >= 0;
    return count;
}

static void a_program_started_by_exec_inherits_no_descriptor(void)
{
    int before = run_again("count");
    aliot_runtime *runtime = NULL;
    aliot_client *client = connected_client();
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    CHECK(before >= 0);
    CHECK(run_again("count") == before);
    aliot_runtime_destroy(runtime);
    aliot_client_destroy(client);
}

/* ---- exit ---------------------------------------------------------------------------------- */

static void on_event_exit(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client, (void)userdata;
    if (event->kind == ALIOT_EVENT_KIND_CONNECTED)
        exit(0);
}

static aliot_client *left_over;

static void destroy_left_over(void)
{
    aliot_client_destroy(left_over);
}

/* In the program that was run again. */
static int end_with_a_live_client(const char *mode)
{
    alarm(20);
    if (strcmp(mode, "callback") == 0) {
        left_over = platform_client();
        CHECK_OK(aliot_client_set_event_callback(left_over, on_event_exit, NULL, NULL));
        CHECK_OK(aliot_client_start(left_over));
        check_sleep_ms(15000);
        return 1;
    }
    left_over = connected_client();
    publish(left_over, 100);
    if (strcmp(mode, "exit") == 0)
        exit(0);
    if (strcmp(mode, "_exit") == 0)
        _exit(0);
    if (strcmp(mode, "atexit") == 0)
        CHECK(atexit(destroy_left_over) == 0);
    return 0;
}

static void a_program_may_end_with_a_live_client(void)
{
    const char *modes[] = {"return", "exit", "_exit", "atexit", "callback"};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        int status = run_again(modes[i]);
        if (status != 0)
            fprintf(stderr, "%s: %d\n", modes[i], status);
        CHECK(status == 0);
    }
}

/* ---- Signals ------------------------------------------------------------------------------- */

static pthread_t main_thread;
static volatile sig_atomic_t signals;
static volatile sig_atomic_t signals_elsewhere;

static void on_signal(int number)
{
    (void)number;
    signals = signals + 1;
    if (!pthread_equal(pthread_self(), main_thread))
        signals_elsewhere = signals_elsewhere + 1;
}

static void a_broken_connection_does_not_end_the_program(void)
{
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    aliot_client *client = connected_client();
    for (int round = 0; round < 20; round++) {
        publish(client, 50);
        control(round % 2 ? "reset a1test device" : "cut a1test device");
        publish(client, 50);
        CHECK_EVENTUALLY(aliot_client_counter(client, ALIOT_COUNTER_CONNECTS) ==
                         (uint64_t)round + 2);
    }
    CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
    aliot_client_destroy(client);
    CHECK(acknowledged == 2000);
    CHECK(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
}

/* Every half millisecond, and system calls are not restarted. */
static void a_storm_of_signals_disturbs_nothing(void)
{
    struct sigaction action = {0};
    const struct itimerval storm = {{0, 500}, {0, 500}}, calm = {{0, 0}, {0, 0}};
    aliot_runtime *runtime = NULL;
    main_thread = pthread_self();
    action.sa_handler = on_signal;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &storm, NULL) == 0);
    aliot_client *client = connected_client();
    int messages = 0;
    const time_t until = time(NULL) + 60;
    do {
        publish(client, 2000);
        messages += 2000;
        CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
    } while (check_is_long() && time(NULL) < until);
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_CONNECTS) == 1);
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    for (int round = 0; round < 10; round++) {
        size_t count = 1;
        CHECK_OK(aliot_runtime_poll(runtime, 10, &count));
        CHECK(count == 0);
    }
    CHECK(aliot_client_wait_stopped(client, 100) == ALIOT_RESULT_TIMEOUT);
    aliot_client_destroy(client);
    aliot_runtime_destroy(runtime);
    CHECK(setitimer(ITIMER_REAL, &calm, NULL) == 0);
    CHECK(acknowledged == messages);
    CHECK(signals > 100);
    CHECK(signals_elsewhere == 0);
    printf("measured: %d signals, %d messages acknowledged\n", (int)signals, messages);
}

/* ---- A second copy, loaded and unloaded ---------------------------------------------------- */

/* A function of the copy, under the name that this one's has here. */
#define OF_COPY(name) \
    __typeof__(&aliot_##name) name = NULL; \
    *(void **)&name = dlsym(copy, "aliot_" #name); \
    CHECK(name != NULL && name != aliot_##name)

/* A client of the copy connects, has a message acknowledged and goes. */
static void use_copy(void *copy)
{
    OF_COPY(runtime_create);
    OF_COPY(runtime_destroy);
    OF_COPY(identity_create);
    OF_COPY(identity_destroy);
    OF_COPY(endpoint_create_for_host);
    OF_COPY(endpoint_set_ca_file);
    OF_COPY(endpoint_set_dangerous_plaintext);
    OF_COPY(endpoint_destroy);
    OF_COPY(config_create);
    OF_COPY(config_use_private_profile);
    OF_COPY(config_set_connects_per_minute);
    OF_COPY(config_destroy);
    OF_COPY(client_create_on_runtime);
    OF_COPY(client_start);
    OF_COPY(client_wait_connected);
    OF_COPY(client_publish);
    OF_COPY(client_wait_flushed);
    OF_COPY(client_destroy);
    aliot_runtime *runtime = NULL;
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    uint16_t port = (uint16_t)atoi(environment(uses_tls() ? "SIM_TLS_PORT" : "SIM_TCP_PORT"));
    CHECK_OK(runtime_create(ALIOT_DISPATCH_THREAD, &runtime));
    CHECK_OK(identity_create("a1test", "other", "canary-device-secret", &identity));
    CHECK_OK(endpoint_create_for_host("localhost", port, &endpoint));
    if (uses_tls())
        CHECK_OK(endpoint_set_ca_file(endpoint, environment("SIM_CA_FILE")));
    else
        CHECK_OK(endpoint_set_dangerous_plaintext(endpoint));
    CHECK_OK(config_create(identity, endpoint, &config));
    CHECK_OK(config_use_private_profile(config));
    CHECK_OK(config_set_connects_per_minute(config, 0));
    CHECK_OK(client_create_on_runtime(config, runtime, &client));
    CHECK_OK(client_start(client));
    CHECK_OK(client_wait_connected(client, PATIENCE_MS));
    CHECK_OK(client_publish(client, "/a1test/other/user/echo", "x", 1, Q1, NULL));
    CHECK_OK(client_wait_flushed(client, PATIENCE_MS));
    client_destroy(client);
    config_destroy(config);
    endpoint_destroy(endpoint);
    identity_destroy(identity);
    runtime_destroy(runtime);
}

static void a_second_copy_may_be_loaded_used_and_unloaded(void)
{
    aliot_client *client = connected_client();
    const int times = check_is_long() ? 100 : 10;
    for (int round = 0; round < times; round++) {
        void *copy = dlopen(environment("ALIOT_COPY"), RTLD_NOW | RTLD_LOCAL);
        CHECK(copy != NULL);
        use_copy(copy);
        CHECK(dlclose(copy) == 0);
    }
    publish(client, 1);
    CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
    aliot_client_destroy(client);
    RAN(times);
}

/* ---- A thread with little room ------------------------------------------------------------- */

static void *use_everything(void *nothing)
{
    aliot_client *client = connected_client();
    publish(client, 10);
    CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
    aliot_client_destroy(client);
    return nothing;
}

static void a_thread_with_a_small_stack_may_call(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 64 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, use_everything, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
    CHECK(acknowledged == 10);
    CHECK(releases == 1);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return strcmp(argv[1], "count") == 0 ? count_descriptors()
                                             : end_with_a_live_client(argv[1]);
    RUN(children_get_errors_and_the_parent_does_not_notice);
    RUN(a_program_started_by_exec_inherits_no_descriptor);
    RUN(a_program_may_end_with_a_live_client);
    RUN(a_broken_connection_does_not_end_the_program);
    RUN(a_storm_of_signals_disturbs_nothing);
    RUN(a_second_copy_may_be_loaded_used_and_unloaded);
    RUN(a_thread_with_a_small_stack_may_call);
    return 0;
}

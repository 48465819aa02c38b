/* A message that comes alone leaves on the thread that publishes it, and its acknowledgement reaches
 * the callback on the thread that read it: no other thread has to wake up in between, unless the
 * callback takes long. */

#define _GNU_SOURCE
#include "trap.h"

#include <dirent.h>
#include <sys/syscall.h>

static const char TOPIC[] = "/pk/device/user/t";

enum { WANTED = 20 };

static pthread_t main_thread;
static atomic_int sent_here;
static atomic_int sent_elsewhere;
static atomic_int sent_with_sigpipe;

static _Thread_local int reads;
static atomic_int told_by_the_reader;
static atomic_int completions;

/* Stands in for the system's, which the library calls. */
ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
    if (pthread_equal(pthread_self(), main_thread))
        sent_here++;
    else
        sent_elsewhere++;
    if ((flags & MSG_NOSIGNAL) == 0)
        sent_with_sigpipe++;
    return syscall(SYS_sendmsg, socket, message, flags);
}

ssize_t recv(int socket, void *buffer, size_t length, int flags)
{
    reads++;
    return syscall(SYS_recvfrom, socket, buffer, length, flags, NULL, NULL);
}

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)client, (void)userdata;
    CHECK(completion->result == ALIOT_RESULT_OK);
    /* Of a thread that reads, the last read was this acknowledgement's. */
    told_by_the_reader += reads > 0;
    reads = 0;
    completions++;
}

/* A message is alone if nothing was sent for half a millisecond before it. */
static void publish_alone(aliot_client *client)
{
    check_sleep_ms(1);
    CHECK_OK(aliot_client_publish(client, TOPIC, "x", 1, ALIOT_QOS_AT_LEAST_ONCE, NULL));
}

/* In a loop, because a thread that is not asleep yet may be faster than this one. */
static void a_lone_message_leaves_on_the_thread_that_publishes_it(void)
{
    trap t;
    aliot_client *client = NULL;
    trap_start(&t, TRAP_BROKER);
    aliot_config *config = trap_config("127.0.0.1", t.port, true);
    CHECK_OK(aliot_client_create(config, &client));
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, NULL, NULL));
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_wait_connected(client, 20000));
    int published = 0;
    sent_here = 0;
    while (published < 2000 && (sent_here < WANTED || told_by_the_reader < WANTED)) {
        publish_alone(client);
        published++;
        CHECK_EVENTUALLY(completions == published);
    }
    CHECK(sent_here >= WANTED);
    CHECK(told_by_the_reader >= WANTED);
    CHECK(sent_elsewhere > 0); /* CONNECT */
    CHECK(sent_with_sigpipe == 0);
    aliot_client_destroy(client);
    aliot_config_destroy(config);
    trap_end(&t);
}

/* How often the library's thread of that name has gone to sleep; -1 if it has not named itself yet. */
static long sleeps_of(const char *name)
{
    long sleeps = -1;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *task; sleeps < 0 && (task = readdir(tasks)) != NULL;) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *status = fopen(path, "r");
        bool found = false;
        for (char line[256]; status != NULL && fgets(line, sizeof line, status) != NULL;) {
            found |= strncmp(line, "Name:\t", 6) == 0 && strncmp(line + 6, name, strlen(name)) == 0;
            if (found)
                (void)sscanf(line, "voluntary_ctxt_switches: %ld", &sleeps);
        }
        if (status != NULL)
            fclose(status);
    }
    closedir(tasks);
    return sleeps;
}

/* For each message the thread that reads wakes up once, for its acknowledgement, and the other one never.
 * A few times in a row, and again if that failed: a callback may be held up for other reasons. */
static void a_lone_message_wakes_one_thread_once(void)
{
    trap t;
    aliot_client *client = NULL;
    trap_start(&t, TRAP_BROKER);
    aliot_config *config = trap_config("127.0.0.1", t.port, true);
    completions = 0;
    CHECK_OK(aliot_client_create(config, &client));
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, NULL, NULL));
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_wait_connected(client, 20000));
    CHECK_EVENTUALLY(sleeps_of("aliot-1") >= 0 && sleeps_of("aliot-2") >= 0);
    bool slept_on = false;
    int published = 0;
    for (int attempt = 0; attempt < 100 && !slept_on; attempt++) {
        long first = sleeps_of("aliot-1");
        long second = sleeps_of("aliot-2");
        for (int i = 0; i < WANTED; i++) {
            publish_alone(client);
            published++;
            CHECK_EVENTUALLY(completions == published);
        }
        first = sleeps_of("aliot-1") - first;
        second = sleeps_of("aliot-2") - second;
        slept_on = (first <= WANTED / 4 || second <= WANTED / 4) && first + second <= WANTED * 5 / 4;
    }
    CHECK(slept_on);
    aliot_client_destroy(client);
    aliot_config_destroy(config);
    trap_end(&t);
}

static atomic_bool is_blocked;
static atomic_bool may_go_on;

static void block(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)client, (void)completion, (void)userdata;
    is_blocked = true;
    CHECK_EVENTUALLY(may_go_on);
}

static void a_callback_that_blocks_leaves_the_network_to_the_other_thread(void)
{
    trap t;
    aliot_client *blocked = NULL;
    aliot_client *other = NULL;
    trap_start(&t, TRAP_BROKER);
    aliot_config *config = trap_config("127.0.0.1", t.port, true);
    CHECK_OK(aliot_client_create(config, &blocked));
    CHECK_OK(aliot_client_create(config, &other));
    CHECK_OK(aliot_client_set_completion_callback(blocked, block, NULL, NULL));
    CHECK_OK(aliot_client_start(blocked));
    CHECK_OK(aliot_client_wait_connected(blocked, 20000));
    /* Work that comes alone is run by the thread that has the network. */
    check_sleep_ms(20);
    CHECK_OK(aliot_client_publish(blocked, TOPIC, "x", 1, ALIOT_QOS_AT_LEAST_ONCE, NULL));
    CHECK_EVENTUALLY(is_blocked);
    CHECK_OK(aliot_client_start(other));
    CHECK_OK(aliot_client_wait_connected(other, 10000));
    may_go_on = true;
    aliot_client_destroy(other);
    aliot_client_destroy(blocked);
    aliot_config_destroy(config);
    trap_end(&t);
}

int main(void)
{
    main_thread = pthread_self();
    RUN(a_lone_message_leaves_on_the_thread_that_publishes_it);
    RUN(a_lone_message_wakes_one_thread_once);
    RUN(a_callback_that_blocks_leaves_the_network_to_the_other_thread);
    return 0;
}

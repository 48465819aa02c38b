/* A message that comes alone leaves on the thread that publishes it, and its acknowledgement reaches
 * the callback on the thread that read it: no other thread has to wake up in between. */

#define _GNU_SOURCE
#include "trap.h"

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
        CHECK_OK(aliot_client_publish(client, TOPIC, "x", 1, ALIOT_QOS_AT_LEAST_ONCE, NULL));
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

int main(void)
{
    main_thread = pthread_self();
    RUN(a_lone_message_leaves_on_the_thread_that_publishes_it);
    return 0;
}

/* Clients that come and go, most of them while they connect: no descriptor, thread or memory stays.
 *
 *   ALIOT_LONG=1   10,000 clients, 2,000 of them destroyed while connecting, instead of 80; and
 *                  memory is measured, which it cannot be under a checker */

#include "trap.h"

#include <dirent.h>

static aliot_client *new_client(uint16_t port)
{
    aliot_client *client = NULL;
    aliot_config *config = trap_config("127.0.0.1", port, true);
    CHECK_OK(aliot_client_create(config, &client));
    aliot_config_destroy(config);
    return client;
}

static void come_and_go(trap *t, int clients)
{
    for (int i = 0; i < clients; i++) {
        aliot_client *client = new_client(t->port);
        CHECK_OK(aliot_client_publish(client, "/t", "x", 1, ALIOT_QOS_AT_LEAST_ONCE, NULL));
        if (i % 5 != 1)
            CHECK_OK(aliot_client_start(client));
        if (i % 5 > 1) {
            CHECK_OK(aliot_client_wait_connected(client, 30000));
            CHECK_OK(aliot_client_wait_flushed(client, 30000));
        }
        aliot_client_destroy(client); /* every fifth while it connects, every fifth at rest */
    }
}

static int entries(const char *path)
{
    int count = 0;
    DIR *folder = opendir(path);
    CHECK(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static long resident_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    while (fgets(line, sizeof line, status) != NULL)
        sscanf(line, "VmRSS: %ld", &kib);
    fclose(status);
    CHECK(kib > 0);
    return kib;
}

static void clients_come_and_go_and_leave_nothing_behind(void)
{
    trap t;
    const bool is_long = getenv("ALIOT_LONG") != NULL;
    trap_start(&t, TRAP_BROKER);
    /* One that stays keeps the shared runtime, and its threads, alive. */
    aliot_client *stays = new_client(t.port);
    CHECK_OK(aliot_client_start(stays));
    CHECK_OK(aliot_client_wait_connected(stays, 30000));
    const int descriptors = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    come_and_go(&t, is_long ? 1000 : 20); /* until caches are full */
    const long before = resident_kib();
    come_and_go(&t, is_long ? 10000 : 60);
    CHECK_EVENTUALLY(entries("/proc/self/fd") <= descriptors);
    CHECK_EVENTUALLY(entries("/proc/self/task") <= threads);
    const long after = resident_kib();
    if (is_long) {
        printf("measured: resident memory: %ld KiB, 10,000 clients later %ld KiB\n", before, after);
        CHECK(after <= before + 1000); /* 0.1 KiB a client */
    }
    CHECK(aliot_client_state(stays) == ALIOT_STATE_CONNECTED);
    aliot_client_destroy(stays);
    trap_end(&t);
}

int main(void)
{
    RUN(clients_come_and_go_and_leave_nothing_behind);
    return 0;
}

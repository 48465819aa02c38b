/* Planted: a port that nobody has set. */
#include <aliot.h>

#include <stdint.h>
#include <stdlib.h>

int main(void)
{
    uint16_t *volatile port = malloc(sizeof *port); /* or the compiler would see it */
    aliot_endpoint *endpoint = NULL;
    (void)aliot_endpoint_create_for_host("localhost", *port, &endpoint);
    aliot_endpoint_destroy(endpoint);
    free(port);
    return 0;
}

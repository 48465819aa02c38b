/* Planted: the library copies a payload that the application has freed. */
#include <aliot.h>

#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *volatile name = malloc(32); /* or the compiler would see it */
    aliot_identity *identity = NULL;
    strcpy(name, "device");
    free(name);
    (void)aliot_identity_create("pk", name, "secret", &identity);
    aliot_identity_destroy(identity);
    return 0;
}

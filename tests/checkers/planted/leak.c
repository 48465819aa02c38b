/* Planted: memory that the program has forgotten. */
#include <aliot.h>

#include <stdlib.h>

static void *volatile kept;

int main(void)
{
    kept = malloc(4321);
    kept = NULL;
    return aliot_result_name(ALIOT_RESULT_OK) == NULL;
}

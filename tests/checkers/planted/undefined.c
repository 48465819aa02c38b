/* Planted: a sum that does not fit. */
#include <aliot.h>

#include <limits.h>

int main(void)
{
    volatile int most = INT_MAX;
    volatile int sum = most + 1;
    return sum == 0 || aliot_result_name(ALIOT_RESULT_OK) == NULL;
}

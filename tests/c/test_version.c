/* A program goes with the library of its minor version that is not older than its header. */
#include "check.h"

static void the_library_of_this_header_will_do(void)
{
    CHECK(ALIOT_VERSION_MATCHES());
    CHECK(aliot_version_number() == ALIOT_VERSION_NUMBER);
}

/* Stand in for the library that runs and for the header that the program was compiled with: the
 * macros look at neither until they are used. */
static uint32_t running;
#define aliot_version_number() running
#undef ALIOT_VERSION_NUMBER
#define ALIOT_VERSION_NUMBER 0x000305

static bool matches(uint32_t version)
{
    running = version;
    return ALIOT_VERSION_MATCHES();
}

static void only_what_the_header_promises_will_do(void)
{
    CHECK(matches(0x000305));
    CHECK(matches(0x000306));
    CHECK(matches(0x0003ff));
    CHECK(!matches(0x000304));
    CHECK(!matches(0x000300));
    CHECK(!matches(0x000205));
    CHECK(!matches(0x000405));
    CHECK(!matches(0x010305));
}

int main(void)
{
    RUN(the_library_of_this_header_will_do);
    RUN(only_what_the_header_promises_will_do);
    return 0;
}

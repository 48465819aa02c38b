/* Compiles against the header, links, runs, and has the version it was told to expect. */

#include <aliot.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *version = aliot_version_string();

    printf("aliot %s\n", version);
    return argc == 2 && strcmp(argv[1], version) == 0 && ALIOT_VERSION_MATCHES() ? 0 : 1;
}

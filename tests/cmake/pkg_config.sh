# Compiles a program with what aliot.pc says, and runs it.
# Arguments: shared or static, pkg-config, compiler, source, library directory, expected version.
set -eu
linkage=$1 pkg_config=$2 compiler=$3 source=$4 libdir=$5 version=$6

PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH
program=./consumer-$linkage
if [ "$linkage" = static ]; then
    # With both libraries in one directory -laliot is the shared one, so name the archive.
    flags=$("$pkg_config" --static --libs aliot | sed 's/-laliot/-l:libaliot.a/')
else
    flags="$("$pkg_config" --libs aliot) -Wl,-rpath,$libdir"
fi
set -x
# shellcheck disable=SC2086 # the flags are words
"$compiler" -Wall -Werror $("$pkg_config" --cflags aliot) "$source" -o "$program" $flags
"$program" "$version"

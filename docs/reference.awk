# What Doxygen wants of include/aliot.h beyond what a reader of the file wants: the first comment
# becomes the main page, laid out as it is; a section a topic; "Errors:" and "Safety:" headings.

NR == 1 {
    print "/** @mainpage The contract"
    print "<pre>"
    contract = 1
    next
}

contract && $0 == " */" {
    print "</pre> */"
    print "/** @file aliot.h"
    print " * The whole interface. Each name is in one of the topics. */"
    contract = 0
    next
}

contract {
    sub(/^ \* ?/, "")
    # For those who hold the file, not for those who read the page.
    if (!/^Generated from/) print linked($0)
    next
}

/^\/\*\* Version of this header, first/ { topic("Version of the header") }

/^\/\* ---- / {
    title = $0
    sub(/^\/\* ---- /, "", title)
    sub(/ -+ \*\/$/, "", title)
    topic(title)
    next
}

# What precedes the declarations, and what ends them.
/^#ifdef __cplusplus/ && open { print "/** @} */"; open = 0 }

{
    sub(/^ \* Errors:$/, " * @par Errors")
    sub(/^ \* Safety:$/, " * @par What the caller must see to")
    print /^ *\/?\*/ ? linked($0) : $0
}

# A name becomes a link, outside quotes; a name that leads nowhere fails the build of the reference.
function linked(line, part, count, i) {
    count = split(line, part, "\"")
    line = ""
    for (i = 1; i <= count; i++) {
        if (i % 2) gsub(/aliot_[a-z_0-9]*[a-z0-9]|ALIOT_[A-Z_0-9]*[A-Z0-9]/, "#&", part[i])
        line = line (i > 1 ? "\"" : "") part[i]
    }
    return line
}

function topic(title, id) {
    id = tolower(title)
    gsub(/[^a-z]+/, "_", id)
    if (open) print "/** @} */"
    print "/** @defgroup " id " " title
    print " * @{ */"
    open = 1
}

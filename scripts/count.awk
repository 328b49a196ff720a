# Counts what test programs have printed: the reasons of what was skipped, and one line in all.
match($0, /\.\.\. ignored \(.*\)$/) {
    reasons[substr($0, RSTART + 13, RLENGTH - 14)]++
}
/^test result: / {
    for (i = 2; i <= NF; i++) {
        if ($i == "passed;") passed += $(i - 1)
        if ($i == "failed;") failed += $(i - 1)
        if ($i == "ignored;") skipped += $(i - 1)
    }
}
END {
    for (reason in reasons) printf "skipped %d: %s\n", reasons[reason], reason
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
}

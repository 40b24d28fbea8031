#!/bin/sh
# A work step of the token ring: reads the known digits of pi, and writes them with one more. Empty data becomes "3", "3"
# becomes "3.", and so on: each step adds one character.
#
# The digits are computed with Machin's formula, pi = 16 arctan(1/5) - 4 arctan(1/239), in numbers of as many words of six
# decimal digits as necessary. The earlier digits are checked: the step fails if the data is not a beginning of pi.
#
#     arete ring --interface eth0 --work ./pi.sh

LC_ALL=C exec awk '
# Divides a number by a small one. All products stay far below 2^53, so awk is exact.
function divide(number, by,    at, rest, value) {
    rest = 0
    for (at = 0; at <= words; at++) {
        value = rest * BASE + number[at]
        number[at] = int(value / by)
        rest = value - number[at] * by
    }
}

# Adds times * arctan(1 / inverse) to the sum: x - x^3/3 + x^5/5 - ...
function add_arctan(times, inverse,    at, odd, sign, left) {
    for (at = 0; at <= words; at++) power[at] = 0
    power[0] = times < 0 ? -times : times
    sign = times < 0 ? -1 : 1
    divide(power, inverse)
    left = 1
    for (odd = 1; left; odd += 2) {
        for (at = 0; at <= words; at++) term[at] = power[at]
        divide(term, odd)
        left = 0
        for (at = 0; at <= words; at++) {
            sum[at] += sign * term[at]
            if (power[at] != 0) left = 1
        }
        divide(power, inverse * inverse)
        sign = -sign
    }
}

# Pi with this number of words after the point. The last word is not exact.
function compute(    at, carry, digits) {
    for (at = 0; at <= words; at++) sum[at] = 0
    add_arctan(16, 5)
    add_arctan(-4, 239)
    for (at = words; at > 0; at--) {
        carry = int(sum[at] / BASE)
        if (carry * BASE > sum[at]) carry--
        sum[at] -= carry * BASE
        sum[at - 1] += carry
    }
    digits = sum[0] "."
    for (at = 1; at < words; at++) digits = digits sprintf("%06d", sum[at])
    return digits
}

BEGIN {
    BASE = 1000000
    known = ""
    while ((getline line) > 0) known = known line
    wanted = length(known) + 1
    words = int(wanted / 6) + 3
    pi = compute()
    # An error in the last word could reach this digit only if all digits between are nines, or all are zeros.
    while (substr(pi, wanted + 1) ~ /^(9*|0*)$/) {
        words++
        pi = compute()
    }
    if (substr(pi, 1, wanted - 1) != known) {
        print "the data is no beginning of pi" > "/dev/stderr"
        exit 1
    }
    printf "%s", substr(pi, 1, wanted)
}
'

# Odd corners of the language, as other shells have them. It runs in an empty folder.
a="x  y"; printf '<%s>' $a "$a" ${a}z"$a"; echo
set -- ; printf '<%s>' "$@" "a$@b"; echo
set -- 1 2; printf '<%s>' "a$@b" a"$*"b $*; echo
x=; printf '<%s>' $x "$x" ''; echo
v='*'; cd /; echo "$v" '*' \*; cd - >/dev/null
echo ${x:-$(echo "in quotes")} "${x:-"nested quotes"}" ${x:-'s q'}
y=abcabc; echo ${y#*b} ${y##*b} ${y%b*} ${y%%b*} "${y#"a"}"
if [ "$y" = abcabc ] && ! [ -z "$y" ]; then echo ok; fi
f() { echo "$#:$1:$2"; shift; [ $# -gt 0 ] && f "$@"; return 0; }; f a 'b c' d
g() ( x=inner; exit 4 ); g; echo $? "[$x]"
case a.c in [a-c].[!d]) echo cls;; esac; case '*' in \*) echo star;; esac; case ab in a|b) echo n;; ?b) echo y;; esac
echo $((  1 + 2 *( 3 - 1 ) )) $((1==1))
i=5; while [ $((i-=1)) -gt 0 ]; do printf "$i "; done; echo
for i in a b; do for j in 1 2; do [ $j = 2 ] && continue 2; echo $i$j; done; done
cat <<A | tr o 0
foo ${y} \$y \\ "q" `echo bt`
A
echo "a
b"; echo 'c
d'
echo a  b   "c  d"   ; echo "tab	x"
{ echo 1; echo 2 >&2; } 2>&1 | sort -r
(echo sub; exit 3) | cat; echo $?
true | false; echo $?; ! true | false; echo $?
eval "z='quoted value'"; echo "$z"; eval echo \$z
unset z; echo "${z-unset}"; z=1 y=2; echo $z$y
while read line; do case $line in '#'*) continue;; esac; echo "line: $line"; done <<E2
# comment
real line
E2
export EX=1; sh -c 'echo $EX'; EX=2 sh -c 'echo $EX'; echo $EX
: $((n = 3)); echo $n $((n*n)) $((n<<2|1)) $((!n)) $((-n)) $((n%2?7:8))
trap 'echo trap $?' EXIT; (exit 2); echo "last $?"
l=$(for k in 1 2 3; do echo $k; done); echo $l; echo "$l"
echo $(cat </dev/null)end; echo "$(printf 'a\n\n\n')"end
test -z "$nothing" -o -n x && echo or; [ 5 -gt 3 -a 2 -lt 1 ] || echo and
printf '%s %s\n' a; printf '%c%c\n' xyz w; printf '%d%%\n' 50; printf '\101\n'; printf '%6.2s|\n' abc
exec 5>fd5; echo five >&5; exec 5>&-; cat fd5; (echo no >&5) 2>/dev/null || echo closed
x=1; { x=2; }; echo $x; x=3 | true; echo $x; y=$(x=9; echo $x); echo $x$y
set -f; echo *; set +f
A=1; B=${A:+set}; C=${D:+set}; echo "$B|$C"; echo ${A:-${B:-c}} ${D:-${A}}

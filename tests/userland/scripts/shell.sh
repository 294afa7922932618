# The language of our shell, as other shells have it. It runs in an empty folder.
x=1; y="a b"; echo $x "$y" '$y' \$y
echo $y; set -- $y; echo $# $1 $2 "$@" "$*"
for i in 1 2 3; do echo -n "$i "; done; echo
i=0; while [ $i -lt 3 ]; do i=$((i+1)); [ $i = 2 ] && continue; echo i=$i; done
f() { local z=5; echo "in f: $1 $# $z"; return 3; }
f q w; echo $?
echo $(echo sub; echo two) `echo back`
cat <<EOF | tr a-z A-Z
hello $x
  $(echo inner) \$x
EOF
cat <<'EOF'
raw $x
EOF
case abc in a*) echo starts;; *) echo no;; esac
case "x y" in x\ y) echo esc;; esac
( cd /; pwd ); if true; then echo T; elif false; then echo E; else echo F; fi
echo ${u:-def} ${x:+alt} ${#y} ${y%b} ${y#a} ${u-"q  q"} ${u:=set} $u
p=/a/b/c.tar.gz; echo ${p##*/} ${p%.*} ${p%%.*} ${p#*/}
echo $((1+2*3)) $(( (1+2)*3 )) $((7/2)) $((7%3)) $((1<<4)) $((5>3 && 2<1)) $((x+=4)) $x $((0x10)) $((x>2?10:20))
true && echo and || echo or; false && echo and || echo or; ! false; echo $?
echo a b c | while read q r; do echo "q=$q r=$r"; done
(exit 7) & wait $!; echo $?
trap 'echo usr' USR1; kill -USR1 $$; echo after
set -e; false || echo survived; set +e
eval 'echo ev $x'; unset x; echo "[$x]"
echo one >t1.out; echo two >>t1.out; cat <t1.out; echo err >&2 2>/dev/null
until [ $i = 5 ]; do i=$((i+1)); done; echo $i
printf '%s-%d\n' a 1 b 2; printf '%5.2s|%-5s|%03d|\n' abc de 7
for a in "$@"; do echo "<$a>"; done; set --; for a in "$@"; do echo bad; done; echo $#
IFS=:; v=a:b::c; set -- $v; echo $# "$3" "$4"; unset IFS
while :; do while :; do break 2; done; done; echo out
{ echo g1; echo g2; } | { read l; echo "got $l"; }
echo "nested $(echo "in $(echo deep)")"
readonly ro=1; echo $ro
x='a*b'; echo "$x"; echo 'it'\''s'
test 1 -eq 1 && test a != b && [ ! -e /nope ] && echo tests
echo "${undefined-}" "a${undefined}b"
cmd="echo dyn"; $cmd word
A=5 sh -c 'echo A=$A'; echo "A=$A"
echo hi | cat - | cat | wc -l
echo ${x:-a b}
for i in ${x:-a b}; do echo "<$i>"; done
a=$(printf 'l1\nl2\n\n'); echo "$a"
echo a\
b
if echo x | grep -q y 2>/dev/null; then echo y; else echo n; fi
f() { for x in 1 2 3; do [ $x = 2 ] && return 9; done; }; f; echo $?
(trap 'echo sub' EXIT; exit 3); echo $?
cat <<-EOF
	tabbed
	EOF
while read -r l; do echo "[$l]"; done <<EOF
ab
 c d
EOF
echo $$ | grep -q '^[0-9]*$' && echo pid
x=$(false); echo $?
echo "$(cat <<EOF
in sub
EOF
)"
case $(echo b) in (a|b) echo ab;; esac
v=$(case x in x) echo cs;; esac); echo $v
echo ${10} $#; set -- 1 2 3 4 5 6 7 8 9 10; echo ${10} $10
shift 8; echo $*
echo "a'b" 'c"d'
: ${z:=hello}; echo $z
[ "a" = "a" ] ; echo $?
echo *.nomatch
cd /; pwd; cd - >/dev/null; [ -e t1.out ] && echo back
! true; echo $?
exec 3>t2.out; echo to3 >&3; exec 3>&-; cat t2.out
if false; then :; fi; echo $?
for i in; do echo never; done
x=1; (x=2; echo $x); echo $x
echo $(( 010 + 1 )) $((-5 % 3)) $((~0)) $((!0)) $(( 1 ? 2 : 3 ))
{ sleep 0.2; echo late; } & wait; echo done
nosuchcmd 2>/dev/null; echo $?
./nosuchfile 2>/dev/null; echo $?
mkdir sub; ./sub 2>/dev/null; echo $?
sleep 0.05 & wait $!; echo waited $?
sh -c 'kill -TERM $$' 2>/dev/null; echo $?
OPTIND=1; set -- -x -y val rest; while getopts xy: o; do echo "$o ${OPTARG-}"; done; echo $OPTIND
echo 'echo in $1; exit 5' >script; chmod +x script; ./script arg; echo $?
echo 'v=sourced; return 4' >lib; . ./lib; echo $v $?
f() { f2() { echo inner; }; f2; unset -f f2; }; f; command -v f2 || echo forgotten
count() { [ $1 -gt 0 ] || return 0; count $(($1 - 1)); echo $1; }; count 4
fib() { if [ $1 -lt 2 ]; then echo $1; else echo $(( $(fib $(($1-1))) + $(fib $(($1-2))) )); fi; }; fib 7
for f in one two three; do case $f in o*|t?o) continue;; esac; echo $f; done
i=0; while :; do i=$((i+1)); case $i in 3) break;; esac; done; echo $i
(exit 3) || echo sub $?; { false; } || echo group; if ! (true && false); then echo neg; fi
cat <<A; cat <<B
first $((1+1))
A
second
B
while read a b; do echo "$b-$a"; done <<E | sort
1 x
2 y
E
echo one two >file; read first rest <file; echo "$rest|$first"; exec 4<file; read l <&4; echo "$l"; exec 4<&-
echo out; echo err >&2; { echo o2; echo e2 >&2; } 2>/dev/null >file; cat file
umask 027; : >masked; ls -l masked | cut -c 1-10; umask
IFS=,; set -- a,b,c; x=a,b,c; for p in $x; do echo "<$p>"; done; unset IFS
set -- "a b" c; for p; do echo "[$p]"; done; echo "$*" "${#}" "${@}"
x=abc; echo ${x#a} ${x%c} ${x#*b} ${#x}; y=; echo ${y:-empty} ${y-unset} ${y:+no}x
set -e; if false; then :; fi; false || true; ! true; (set +e; false; echo still); echo e-ok
trap 'echo end $?' EXIT; set +e
trap '' USR2; kill -USR2 $$; echo ignored; trap - USR2; trap 'echo got usr' USR1; kill -USR1 $$; echo next
trap 'echo term; exit 9' TERM; kill -TERM $$; echo unreachable

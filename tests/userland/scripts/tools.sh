# What our tools do as those of other systems do. It runs in an empty folder.
umask 022
printf '%s\n' pear apple fig apple kiwi fig apple >fruit
sort fruit; sort -r fruit | head -2; sort -u fruit; sort fruit | uniq -c | tr -s ' '; sort fruit | uniq -d
printf '10 b\n9 a\n-3 c\n9 A\n' | sort -n; printf 'x:2\ny:10\nz:1\n' | sort -t : -k 2 -n
wc -l <fruit; wc -c <fruit; wc -w <fruit
head -n 2 fruit; tail -n 2 fruit; tail -n +6 fruit; head -c 7 fruit; echo
seq 5; seq 3 5; seq 10 -3 1; seq -s , 4
grep p fruit; grep -v p fruit; grep -c apple fruit; grep -n '^f.g$' fruit; grep -i APPLE fruit | head -1
grep 'a.*e' fruit; grep -E 'p+l' fruit | head -1; grep '[k-p]i' fruit; grep -F . fruit; echo $?; grep -q zz fruit || echo none
echo a1b22c | grep -c '[[:digit:]]'; echo 'a.b' | grep 'a\.b'; grep -l apple fruit
echo 'one:two:three' | cut -d : -f 2; echo 'one:two:three' | cut -d : -f 1,3; echo abcdef | cut -c 2-4,6; echo plain | cut -d : -f 2
echo hello | tr a-z A-Z; echo hello | tr -d l; echo aabbcc | tr -s a-c; echo 'a b' | tr ' ' '\n'; echo abc123 | tr -cd 0-9; echo
mkdir a; mkdir -p b/c/d; mkdir a 2>/dev/null || echo exists; rmdir b/c 2>/dev/null || echo not empty
cp fruit a; cp fruit a/other; ls a; mv a/other b/c/moved; find b | sort; find . -name 'f*' -type f | sort; find b -type d | wc -l
cp -r b copy; find copy | sort; ln fruit hard; ln -s fruit soft; cat hard | wc -l; cat soft | wc -l
chmod 640 fruit; ls -l fruit | cut -c 1-10; chmod u+x,g-r fruit; ls -l fruit | cut -c 1-10; chmod a=r hard; ls -l fruit | cut -c 1-10
chmod u+w fruit; ls; ls -a b; ls -d b; ls fruit a; ls nothing 2>/dev/null || echo no such
rm soft; rm -r copy; rm copy 2>/dev/null || echo gone; rm -f copy && echo fine; ls
echo 'a b c' | xargs echo got; echo 'a b c' | xargs -n 1 echo; printf '1\n2\n' | xargs -I X echo 'nX!'
find . -name '*u*' -print0 | xargs -0 ls -d; echo "'a b' c" | xargs -n 1 echo
echo kept | tee t1 t2 | cat; cat t1 t2; echo more | tee -a t1 >/dev/null; cat t1
printf '%d %s %5.2s| %-4d|%x %o %c%%\n' 7 str long 5 255 8 q; printf 'a\tb\\n\n'; printf '%b\n' 'x\ty'; printf '%s,' 1 2 3; echo
env -i A=1 B=2 env | sort; env A=3 sh -c 'echo $A'
test -f fruit && echo file; test -d a && echo folder; test 3 -lt 5 && echo less; test a = b || echo differ
test -s t1 && test ! -e zz && test \( 1 -eq 1 -o 1 -eq 2 \) -a x != y && echo all; [ -x fruit ] && echo may run
[ hard -ef fruit ] && echo same file; test -n "" || echo empty; test -z "" && echo zero
true && ! false && echo truth; yes | head -n 2; sleep 0.01; uname -s | wc -l; date -u +%% ; pwd | grep -c /
touch new; wc -c <new; touch fruit; wc -l <fruit; touch -c never; ls never 2>/dev/null || echo none
touch -r fruit new; [ new -nt fruit ] || [ new -ot fruit ] || echo same time; touch no/such 2>/dev/null || echo cannot
kill -l 2>/dev/null | wc -l | grep -c '[1-9]'; id -u | grep -c '[0-9]'; echo done

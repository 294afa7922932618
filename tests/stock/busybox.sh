# A hundred lines for an unmodified BusyBox: what scripts do all day. It runs in an empty folder,
# with $BB as the program, and must print the same on Linux and on Vantage.
set -u
bb() { "$BB" "$@"; }
"$BB" mkdir bin; "$BB" ln -s "$BB" bin/gzip; "$BB" ln -s "$BB" bin/bb; PATH=$PWD/bin # for tar and xargs
title() { echo "== $*"; }

title files and folders
bb mkdir -p tree/a/b tree/c tree/empty
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    echo "line $i of a file, number $((i * i))" >"tree/a/f$i.txt"
done
bb cp tree/a/f1.txt tree/c/copy; bb mv tree/a/f12.txt tree/c/moved.txt
bb ln -s ../a/f2.txt tree/c/soft; bb ln tree/a/f3.txt tree/c/hard
bb ls -1 tree tree/c; bb cat tree/c/soft; bb readlink tree/c/soft
bb chmod 640 tree/c/copy; bb stat -c '%a %s %F %h' tree/c/copy tree/c/soft tree/c/hard; bb stat -c "%a %F" tree
bb touch -d '2001-02-03 04:05:06' tree/c/copy; bb stat -c %Y tree/c/copy
bb rm tree/c/soft; [ -e tree/c/soft ] || echo gone; bb rmdir tree/empty; bb du -a tree >/dev/null

title pipes and redirections
bb cat tree/a/*.txt | bb sort -t ' ' -k 2 -n | bb head -n 3
bb cat tree/a/*.txt | bb wc -l; bb cat tree/a/f?.txt | bb grep -c 'number [0-9]*[05]$'
{ echo out; echo err >&2; } 2>errors >output; bb cat output errors
{ echo both; echo too >&2; } >all 2>&1; bb cat all
bb ls nothing 2>/dev/null || echo "no such thing: $?"
echo appended >>output; bb cat <output; exec 3>third; echo through three >&3; exec 3>&-; bb cat third
bb seq 1 100000 | bb head -n 1; bb yes 2>/dev/null | bb head -n 2; bb seq 1 2000 | bb tail -n 1

title here-documents
name=world
bb cat <<END
hello $name, $((6 * 7)), $(echo nested)
END
bb cat <<'END'
as it is: $name $(no)
END
bb tr a-z A-Z <<-END
	tabs go away
	END

title find and xargs
bb find tree -type f | bb sort
bb find tree -name 'f1*' -type f | bb sort | bb xargs "$BB" cat; bb find tree -name '*.txt' | bb xargs "$BB" grep -l 'r 9$'
bb find tree -type f -print0 | bb xargs -0 "$BB" ls -1 | bb wc -l
bb find tree -type d -exec "$BB" basename {} \; | bb sort
echo one two three | bb xargs -n 1 echo item; bb find tree -size +0 -newer tree/c/copy | bb wc -l

title tar and compression
bb tar cf tree.tar tree; bb tar tf tree.tar | bb sort | bb head -n 4
bb mkdir out; bb tar xf tree.tar -C out; bb diff -r tree out/tree && echo same tree
bb tar czf tree.tar.gz tree && bb tar tzf tree.tar.gz | bb wc -l
bb gzip -c tree/a/f1.txt | bb gunzip -c; bb md5sum tree/a/f1.txt; bb sha256sum <tree/a/f2.txt
bb cat tree/a/*.txt | bb gzip | bb gzip -d | bb md5sum

title sed and awk
bb sed 's/line \([0-9]*\)/row <\1>/; /row <2>/d' tree/a/f1.txt tree/a/f2.txt tree/c/moved.txt
bb sed -n '1!G;h;$p' <<END
first
second
third
END
bb sed -i 's/file/document/' tree/a/f4.txt; bb cat tree/a/f4.txt
bb cat tree/a/*.txt | bb awk '{ sum += $NF } END { print NR, sum, sum / NR }'
bb cat tree/a/*.txt | bb awk -F, '{ n[length($1)]++ } END { for (k in n) print k, n[k] }' | bb sort
bb awk 'BEGIN { for (i = 0; i < 5; i++) printf "%d:%s ", i, substr("abcdef", i + 1, 2); print "" }'
bb awk 'BEGIN { "echo from a command" | getline x; print x; print 2 * 10, int(7 / 2), toupper("up") }'

title sort, uniq, cut, join
bb cat >fruit <<END
pear 3
apple 10
fig 7
apple 2
kiwi 7
END
bb sort fruit; bb sort -k 2 -n -r fruit | bb head -n 2; bb cut -d ' ' -f 1 fruit | bb sort | bb uniq -c
bb sort -u -k 1,1 fruit | bb wc -l; bb paste -d : fruit fruit | bb head -n 1; bb nl fruit | bb tail -n 1
bb tac fruit | bb head -n 1; bb rev <fruit | bb head -n 1; bb od -c fruit | bb head -n 2
bb sort -t " " -k 2,2n -k 1,1r fruit; bb fold -w 4 fruit | bb head -n 3

title background jobs and signals
(bb sleep 0.2; echo late) & (bb sleep 0.1; echo soon) & wait; echo all done
bb sleep 100 & victim=$!; kill $victim; wait $victim; echo "ended with $?"
(exit 7) & wait $!; echo "status $?"
trap 'echo trapped' USR1; kill -USR1 $$; trap - USR1
(trap 'echo leaving' EXIT; exit 3); echo "and $?"
bb timeout 0.1 "$BB" sleep 10; echo "timeout says $?"; bb mkfifo fifo; (echo through a fifo >fifo) & bb cat fifo; wait

title bytes and sums
bb printf 'a\000b\377' | bb hexdump -C; bb printf 'binary\001' | bb base64; echo YmFjaw== | bb base64 -d; echo
bb seq 1 500 | bb sha1sum; bb seq 1 300 | bb uuencode -m x | bb tail -n 2
bb cmp tree/a/f1.txt tree/a/f2.txt || echo "cmp says $?"; bb diff tree/a/f1.txt tree/a/f2.txt; bb tee t1 <fruit | bb wc -w
bb dirname /a/b/c; bb env -i A=1 "$BB" env; bb mktemp -d ./dir.XXXXXX | bb cut -c 1-6; bb realpath . | bb wc -l

title the shell itself
f() { local x=$1; [ "$x" -le 1 ] && echo 1 && return; echo $((x * $(f $((x - 1))))); }; f 6
case "some text" in *te?t) echo matched;; *) echo not;; esac
i=0; while [ $i -lt 3 ]; do i=$((i + 1)); [ $i = 2 ] && continue; printf '%s ' $i; done; echo
x=path/to/file.tar.gz; echo "${x##*/} ${x%%.*} ${x%.gz} ${#x} ${undefined:-default}"
set -- a 'b c' d; for word in "$@"; do echo "<$word>"; done; shift; echo "$# $*"
echo 'a:b:c' | { IFS=: read -r one rest; echo "$rest $one"; }; (cd tree && bb pwd | bb sed 's/.*\///')
bb expr 6 \* 7; echo 'scale=3; 22/7' | bb bc 2>/dev/null; bb printf '%05.1f|%-4s|%x\n' 3.14159 ab 255
bb dd if=/dev/zero bs=1000 count=5 2>/dev/null | bb wc -c; bb test -d tree -a ! -f tree && echo folder; bb id -u >/dev/null && echo done

#!/bin/bash
# The first process of a guest kernel (user-mode Linux) that runs one test with the kernel's NFS server and clients.
#
# The guest's root is the machine's own, read-only. In place of what has to be written there is room in memory, /etc
# included, so that the test can make users. From the environment: TEST_PROGRAM, TEST_NAME, and EXPORTS, a line of
# exports(5) for the mount point /run/backups. Ends with a line "RESULT status".
exec 2>&1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TMPDIR=/run/tmp

end() { echo "RESULT $1"; sync; echo o > /proc/sysrq-trigger; sleep 10; }
try() { "$@" || { echo "failed in the guest: $*"; end 1; }; }

try mount -t proc proc /proc
try mount -t sysfs sys /sys
try mount -t tmpfs -o mode=755 run /run
# Somebody may be adding users this moment; his locks are not ours.
cp -a /etc /run/etc 2> /dev/null
rm -f /run/etc/*.lock
try mount --bind /run/etc /etc
try mount -t tmpfs nfs /var/lib/nfs
mkdir -p /run/tmp /run/rpcbind /run/lock /run/backups /run/v3 /run/v4 /run/modules/lib /var/lib/nfs/{v4recovery,rpc_pipefs,sm,sm.bak}
chmod 1777 /run/tmp
touch /var/lib/nfs/{etab,rmtab,state}
mount -t tmpfs tmp /dev/shm 2> /dev/null
try ip link set lo up

ln -s /usr/lib/uml/modules /run/modules/lib/modules
for module in fuse nfsd nfsv3 nfsv4; do try modprobe -d /run/modules $module; done
[ -e /dev/fuse ] || try mknod -m 666 /dev/fuse c 10 229
# What modules ask for in their turn.
printf '#!/bin/sh\nexec /usr/sbin/modprobe -d /run/modules "$@"\n' > /run/modprobe
chmod 755 /run/modprobe
echo /run/modprobe > /proc/sys/kernel/modprobe

try mount -t nfsd nfsd /proc/fs/nfsd
echo "$EXPORTS" > /etc/exports
MAILTM_TEST_GUEST=1 "$TEST_PROGRAM" --exact "$TEST_NAME" --nocapture --test-threads 1
end $?

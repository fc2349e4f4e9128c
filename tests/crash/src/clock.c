/* A calendar clock that runs faster, for a process that it is preloaded into.
 *
 * The server waits a minute here and five there before it tries something again. So that a run need not, its calendar clock is sped up; timers, which
 * use the monotonic clock, stay as they are. EIM_CRASH_CLOCK is "ANCHOR RATE": at ANCHOR (milliseconds since 1970) the clock shows a day before, from
 * then on it runs RATE times as fast. All processes with the same value agree, and one that is started again goes on.
 *
 * And the process ends when the driver does, however that ends. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);
static long long anchor_ns, rate;

__attribute__((constructor)) static void begin(void) {
    long long anchor_ms;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char *text = getenv("EIM_CRASH_CLOCK");
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (text && sscanf(text, "%lld %lld", &anchor_ms, &rate) == 2) anchor_ns = anchor_ms * 1000000;
}

int clock_gettime(clockid_t id, struct timespec *time) {
    int result;
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    result = real(id, time);
    if (result == 0 && id == CLOCK_REALTIME && anchor_ns) {
        long long now = time->tv_sec * 1000000000LL + time->tv_nsec;
        long long shown = anchor_ns - 86400LL * 1000000000LL + (now - anchor_ns) * rate;
        time->tv_sec = shown / 1000000000LL;
        time->tv_nsec = shown % 1000000000LL;
    }
    return result;
}

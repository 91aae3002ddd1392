/* A minimal client: the lower bound (floor) for the CPU cost of clients.
 *
 * One thread, one epoll instance, N keep-alive connections, closed loop. Each read is timestamped
 * once, before its bytes are examined; token events are counted by scanning for "data: "; nothing is
 * parsed. Timestamps are kept in memory and written at the end, after the CPU time was read.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define ID_DIGITS 9
#define READ_BYTES 65536

typedef struct {
    int64_t id, sent_ns, first_ns, last_ns, end_ns, tokens, offset; /* a row of the output */
} Row;

typedef struct {
    int fd;
    Row row;
    int events;            /* "data: " so far */
    char tail[8];          /* end of the last read, for marks split by reads */
    size_t tail_len;
    int64_t *timestamps;       /* of this request's tokens */
} Connection;

static const char MARK[] = "data: ", DONE[] = "[DONE]\n\n\r\n0\r\n\r\n";
static char request[65536];
static size_t request_len;
static char *request_id;
static long max_tokens, limit;
static int64_t until_ns, next_id, answered, failed;
static Row *rows;
static size_t n_rows, cap_rows;
static int64_t *timestamps;
static size_t n_timestamps, cap_timestamps;

static void make_request(int port, long words) {
    char body[60000];
    int n = sprintf(body, "{\"model\":\"truth\",\"prompt\":\"#%0*d", ID_DIGITS, 0);
    for (long i = 1; i < words; i++) n += sprintf(body + n, " word");
    n += sprintf(body + n,
                 "\",\"stream\":true,\"temperature\":0.0,\"max_tokens\":%ld,"
                 "\"stream_options\":{\"include_usage\":true},\"ignore_eos\":true}",
                 max_tokens);
    request_len = (size_t)snprintf(request, sizeof request,
        "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", port, n, body);
    request_id = strchr(request, '#') + 1;
}

static int connect_to(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) {
        perror("connect");
        exit(1);
    }
    return fd;
}

/* Sends the next request; returns 0 if there is none. */
static int send_next(Connection *c) {
    if ((limit && next_id >= limit) || (until_ns && now_ns() >= until_ns)) return 0;
    c->row = (Row){.id = next_id};
    char *digit = request_id + ID_DIGITS;
    for (int64_t id = next_id++; digit > request_id; id /= 10) *--digit = (char)('0' + id % 10);
    c->events = 0;
    c->tail_len = 0;
    c->row.sent_ns = now_ns();
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len) {
        perror("send");
        exit(1);
    }
    return 1;
}

static void finish(Connection *c, int64_t now) {
    c->row.end_ns = now;
    c->row.offset = (int64_t)n_timestamps;
    size_t count = (size_t)c->row.tokens;
    timestamps = grown(timestamps, &cap_timestamps, n_timestamps + count, sizeof *timestamps);
    memcpy(timestamps + n_timestamps, c->timestamps, count * sizeof *timestamps);
    n_timestamps += count;
    rows = grown(rows, &cap_rows, n_rows + 1, sizeof *rows);
    rows[n_rows++] = c->row;
    answered++;
    /* token events, usage, [DONE] */
    if (c->row.tokens != max_tokens || c->events != max_tokens + 2) failed++;
}

/* Reads once; returns 1 if the response is complete. */
static int read_once(Connection *c) {
    static char buffer[8 + READ_BYTES];
    memcpy(buffer, c->tail, c->tail_len);
    ssize_t n = recv(c->fd, buffer + c->tail_len, READ_BYTES, 0);
    int64_t now = now_ns();
    if (n <= 0) {
        fprintf(stderr, "connection lost\n");
        exit(1);
    }
    char *at = buffer, *end = buffer + c->tail_len + n;
    while ((at = memmem(at, (size_t)(end - at), MARK, sizeof MARK - 1))) {
        at += sizeof MARK - 1;
        if (c->events++ < max_tokens) {
            if (!c->row.tokens) c->row.first_ns = now;
            c->timestamps[c->row.tokens++] = c->row.last_ns = now;
        }
    }
    size_t done = sizeof DONE - 1, have = (size_t)(end - buffer);
    int over = c->events > max_tokens && have >= 5 && !memcmp(end - 5, DONE + done - 5, 5);
    c->tail_len = have < sizeof MARK - 2 ? have : sizeof MARK - 2; /* less than a mark */
    memcpy(c->tail, end - c->tail_len, c->tail_len);
    if (over) finish(c, now);
    return over;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_latency(const char *name, double *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    qsort(values, count, sizeof *values, by_value);
    printf("\"%s_mean_ms\": %.6f, \"%s_p99_ms\": %.6f, ", name, count ? sum / count / 1e6 : 0.0, name,
           count ? values[(size_t)((count - 1) * 0.99)] / 1e6 : 0.0);
}

static void report(int64_t started_ns, int64_t ended_ns, const struct rusage *use) {
    double *ttft = malloc((n_rows + 1) * sizeof *ttft), *itl = malloc((n_timestamps + 1) * sizeof *itl);
    size_t gaps = 0;
    for (size_t i = 0; i < n_rows; i++) {
        ttft[i] = (double)(rows[i].first_ns - rows[i].sent_ns);
        for (int64_t k = 1; k < rows[i].tokens; k++)
            itl[gaps++] = (double)(timestamps[rows[i].offset + k] - timestamps[rows[i].offset + k - 1]);
    }
    printf("{\"requests\": %lld, \"failed\": %lld, \"tokens\": %zu, ", (long long)answered,
           (long long)failed, n_timestamps);
    printf("\"cpu_s\": %.6f, \"wall_s\": %.6f, \"started_ns\": %lld, \"max_rss_bytes\": %ld, ",
           use->ru_utime.tv_sec + use->ru_stime.tv_sec +
               (use->ru_utime.tv_usec + use->ru_stime.tv_usec) / 1e6,
           (ended_ns - started_ns) / 1e9, (long long)started_ns, use->ru_maxrss * 1024);
    print_latency("ttft", ttft, n_rows);
    print_latency("itl", itl, gaps);
    printf("\"connections_lost\": 0}\n");
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: client PORT CONCURRENCY MAX_TOKENS WORDS REQUESTS SECONDS ROWS_FILE\n"
                        "(REQUESTS or SECONDS may be 0: no limit)\n");
        return 2;
    }
    int port = atoi(argv[1]), concurrency = atoi(argv[2]), open = 0;
    max_tokens = atol(argv[3]);
    limit = atol(argv[5]);
    make_request(port, atol(argv[4]));
    int epoll_fd = epoll_create1(0);
    Connection *all = calloc((size_t)concurrency, sizeof *all);
    for (int i = 0; i < concurrency; i++) {
        all[i].fd = connect_to(port);
        all[i].timestamps = malloc((size_t)max_tokens * sizeof(int64_t));
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, all[i].fd, &e);
    }
    int64_t started_ns = now_ns();
    if (atof(argv[6]) > 0) until_ns = started_ns + (int64_t)(atof(argv[6]) * 1e9);
    for (int i = 0; i < concurrency; i++) open += send_next(&all[i]);
    struct epoll_event events[256];
    while (open) {
        int n = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < n; i++) {
            Connection *c = events[i].data.ptr;
            if (read_once(c)) open -= !send_next(c);
        }
    }
    int64_t ended_ns = now_ns();
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    FILE *out = fopen(argv[7], "wb");
    if (!out) { perror(argv[7]); return 1; }
    uint64_t count = n_rows;
    fwrite("TBFLOOR1", 8, 1, out);
    fwrite(&count, 8, 1, out);
    fwrite(rows, sizeof *rows, n_rows, out);
    fwrite(timestamps, sizeof *timestamps, n_timestamps, out);
    if (fclose(out)) { perror(argv[7]); return 1; }
    report(started_ns, ended_ns, &use);
    return 0;
}

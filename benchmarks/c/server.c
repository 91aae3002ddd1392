/* The reference server: streams completions, and records when it really sent each token.
 *
 * One thread, one epoll instance. Token i of a response is due at arrival + ttft + i * itl
 * (CLOCK_MONOTONIC). The arrival is the kernel timestamp of the last segment of the request
 * (SO_TIMESTAMPNS), so that a queue in this server does not count as an error of the client. Each
 * token is timestamped right BEFORE its write: over loopback the client can have the bytes before
 * the write returns, so a later timestamp could be later than the client's. SIGTERM ends the server,
 * which then writes the file that tokenbench.calibrate.ground_truth reads.
 *
 * Chunks are like those of vLLM 0.32. If ttft > 0, the head is sent at once (like uvicorn does), else
 * with the first token; the last token, usage and [DONE] are one write.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define SPIN_NS 60000  /* the last part of a wait is spent spinning */
#define SENDS_PER_POLL 8 /* so that requests are read soon during a burst of tokens */
#define DEFAULT_MAX_TOKENS 16

typedef struct {
    int64_t id, arrival_ns, *send_ns;
    uint32_t connection, number, asked, sent, prompt_tokens, blocked;
} Request;

typedef struct {
    int fd;
    uint32_t index, requests;
    int closed, queued;
    int64_t due_ns;
    Request *request; /* in flight */
    char *in, *out;   /* an incomplete request; unsent bytes */
    size_t in_len, in_cap, out_len, out_cap;
} Connection;

static int64_t ttft_ns, itl_ns;
static int epoll_fd;
static volatile sig_atomic_t stopping;
static Request **requests;
static size_t n_requests, cap_requests;
static Connection **heap;
static size_t n_heap, cap_heap;
static uint32_t n_connections;
static uint64_t prompt_total, generated_total;
static char token_chunk[2048];
static size_t token_chunk_len;

/* -- the schedule: a binary heap of connections by due time ------------------------------------ */

static void push(Connection *c) {
    heap = grown(heap, &cap_heap, n_heap + 1, sizeof *heap);
    size_t i = n_heap++;
    while (i && heap[(i - 1) / 2]->due_ns > c->due_ns) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = c;
    c->queued = 1;
}

static Connection *pop(void) {
    Connection *top = heap[0], *last = heap[--n_heap];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < n_heap) {
        if (child + 1 < n_heap && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
        if (heap[child]->due_ns >= last->due_ns) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    top->queued = 0;
    return top;
}

/* -- connections ------------------------------------------------------------------------------- */

static void release(Connection *c) {
    free(c->in);
    free(c->out);
    free(c);
}

static void shut(Connection *c) {
    if (c->closed) return;
    c->closed = 1;
    close(c->fd);
    if (!c->queued) release(c); /* else released after it is popped */
}

static void watch(Connection *c, uint32_t events, int how) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(epoll_fd, how, c->fd, &e);
}

static void append_unsent(Connection *c, const char *data, size_t len) {
    c->out = grown(c->out, &c->out_cap, c->out_len + len, 1);
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
}

/* Writes at once, and keeps what the socket does not accept. Returns 0 if the peer is gone. */
static int put(Connection *c, const char *data, size_t len) {
    if (c->out_len) {
        append_unsent(c, data, len);
    } else {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return 0;
        if (n < 0) n = 0;
        if ((size_t)n == len) return 1;
        append_unsent(c, data + n, len - n);
        watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    }
    if (c->request) c->request->blocked++;
    return 1;
}

static int flush(Connection *c) {
    ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    memmove(c->out, c->out + n, c->out_len - n);
    c->out_len -= n;
    if (!c->out_len) watch(c, EPOLLIN, EPOLL_CTL_MOD);
    return 1;
}

/* -- one request ------------------------------------------------------------------------------- */

#define STREAM_HEAD                                                                               \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"                       \
    "Transfer-Encoding: chunked\r\n\r\n"
#define EVENT                                                                                     \
    "data: {\"id\":\"cmpl-0123456789abcdef\",\"object\":\"text_completion\",\"created\":1760000000," \
    "\"model\":\"truth\",\"choices\":["
#define TOKEN EVENT                                                                               \
    "{\"index\":0,\"text\":\" word\",\"logprobs\":null,\"finish_reason\":%s,\"stop_reason\":null," \
    "\"token_ids\":null,\"prompt_logprobs\":null,\"prompt_token_ids\":null}],\"usage\":null}\n\n"

static size_t chunk(char *to, const char *event) {
    return (size_t)sprintf(to, "%zx\r\n%s\r\n", strlen(event), event);
}

static size_t ending(char *to, const Request *r) {
    char event[1024];
    snprintf(event, sizeof event, TOKEN, "\"length\"");
    size_t len = chunk(to, event);
    snprintf(event, sizeof event,
             EVENT "],\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u,\"completion_tokens\":%u}}\n\n",
             r->prompt_tokens, r->prompt_tokens + r->asked, r->asked);
    len += chunk(to + len, event);
    len += chunk(to + len, "data: [DONE]\n\n");
    return len + (size_t)sprintf(to + len, "0\r\n\r\n");
}

/* Sends the next token of the response; returns 0 if the peer is gone. */
static int send_token(Connection *c) {
    char buffer[6144];
    size_t len = 0;
    Request *r = c->request;
    if (!r->sent && !ttft_ns) len = (size_t)sprintf(buffer, STREAM_HEAD);
    int last = r->sent + 1 == r->asked;
    if (last) {
        len += ending(buffer + len, r);
    } else {
        memcpy(buffer + len, token_chunk, token_chunk_len);
        len += token_chunk_len;
    }
    r->send_ns[r->sent++] = now_ns();
    generated_total++;
    int alive = put(c, buffer, len);
    if (last) {
        c->request = NULL;
    } else if (alive) {
        c->due_ns = r->arrival_ns + ttft_ns + (int64_t)r->sent * itl_ns;
        push(c);
    }
    return alive;
}

static long number_of(const char *body, size_t len, const char *field, long otherwise) {
    const char *at = memmem(body, len, field, strlen(field));
    if (!at) return otherwise;
    at += strlen(field);
    while (at < body + len && (*at == ' ' || *at == ':')) at++;
    return at < body + len && *at >= '0' && *at <= '9' ? strtol(at, NULL, 10) : otherwise;
}

/* Counts the words of a text prompt or the ids of a token prompt; the id of the request is the
 * number after a leading '#'. */
static void read_prompt(const char *body, size_t len, Request *r) {
    const char *end = body + len, *at = memmem(body, len, "\"prompt\"", 8);
    r->id = -1;
    if (!at) return;
    for (at += 8; at < end && (*at == ' ' || *at == ':'); at++) {}
    if (at >= end) return;
    char stop = *at == '[' ? ']' : '"', between = *at == '[' ? ',' : ' ';
    at++;
    if (at + 1 < end && *at == '#') r->id = strtoll(at + 1, NULL, 10);
    r->prompt_tokens = 1;
    for (; at < end && *at != stop; at++) r->prompt_tokens += *at == between;
}

static int begin(Connection *c, const char *body, size_t len, int64_t arrival_ns) {
    if (!memmem(body, len, "\"stream\":true", 13) && !memmem(body, len, "\"stream\": true", 14)) {
        const char *no = "HTTP/1.1 400 Bad Request\r\nContent-Length: 21\r\n\r\nstreaming is required";
        return put(c, no, strlen(no));
    }
    long asked = number_of(body, len, "\"max_tokens\"", 0);
    if (asked <= 0) asked = number_of(body, len, "\"max_completion_tokens\"", DEFAULT_MAX_TOKENS);
    Request *r = calloc(1, sizeof *r);
    if (!r || !(r->send_ns = malloc((size_t)asked * 8))) { perror("malloc"); exit(1); }
    r->asked = (uint32_t)asked;
    r->arrival_ns = arrival_ns;
    r->connection = c->index;
    r->number = c->requests++;
    read_prompt(body, len, r);
    prompt_total += r->prompt_tokens;
    requests = grown(requests, &cap_requests, n_requests + 1, sizeof *requests);
    requests[n_requests++] = r;
    c->request = r;
    if (!ttft_ns) return send_token(c);
    c->due_ns = arrival_ns + ttft_ns;
    push(c);
    return put(c, STREAM_HEAD, strlen(STREAM_HEAD));
}

static int answer(Connection *c, const char *type, const char *body) {
    char buffer[2048];
    int n = snprintf(buffer, sizeof buffer,
                     "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                     body ? "200 OK" : "404 Not Found", type, body ? strlen(body) : 0, body ? body : "");
    return put(c, buffer, (size_t)n);
}

static int get(Connection *c, const char *path) {
    char text[1024];
    if (!strncmp(path, "/health", 7)) return answer(c, "text/plain", "");
    if (!strncmp(path, "/version", 8)) return answer(c, "application/json", "{\"version\":\"0.1.0\"}");
    if (!strncmp(path, "/v1/models", 10))
        return answer(c, "application/json",
                      "{\"object\":\"list\",\"data\":[{\"id\":\"truth\",\"object\":\"model\","
                      "\"max_model_len\":131072}]}");
    if (strncmp(path, "/metrics", 8)) return answer(c, "text/plain", NULL);
    snprintf(text, sizeof text,
             "# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total{model_name=\"truth\"} %llu\n"
             "# TYPE vllm:generation_tokens_total counter\n"
             "vllm:generation_tokens_total{model_name=\"truth\"} %llu\n",
             (unsigned long long)prompt_total, (unsigned long long)generated_total);
    return answer(c, "text/plain; version=0.0.4", text);
}

/* Answers the complete requests in the buffer; returns 0 if the connection must be closed. */
static int parse(Connection *c, int64_t arrival_ns) {
    while (c->in_len && !c->request) {
        char *head_end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
        if (!head_end) return 1;
        size_t head = (size_t)(head_end - c->in) + 4, body = 0;
        for (char *line = c->in; line < head_end; line = (char *)memmem(line, head, "\r\n", 2) + 2)
            if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
        if (c->in_len < head + body) return 1;
        char *path = memchr(c->in, ' ', head);
        if (!path) return 0;
        int alive, post = !strncmp(c->in, "POST ", 5);
        if (post && !strncmp(path + 1, "/v1/completions ", 16))
            alive = begin(c, c->in + head, body, arrival_ns);
        else
            alive = post ? answer(c, "text/plain", NULL) : get(c, path + 1);
        c->in_len -= head + body;
        memmove(c->in, c->in + head + body, c->in_len);
        if (!alive) return 0;
    }
    return 1;
}

/* The kernel timestamp of a read on the monotonic clock; `read_ns` if there is none. */
static int64_t kernel_timestamp_ns(struct msghdr *message, int64_t read_ns) {
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) return read_ns;
    struct timespec arrival, wall;
    memcpy(&arrival, CMSG_DATA(c), sizeof arrival);
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t ago_ns =
        (int64_t)(wall.tv_sec - arrival.tv_sec) * 1000000000 + wall.tv_nsec - arrival.tv_nsec;
    return ago_ns > 0 ? now_ns() - ago_ns : read_ns;
}

static int readable(Connection *c) {
    char control[CMSG_SPACE(sizeof(struct timespec))];
    c->in = grown(c->in, &c->in_cap, c->in_len + 16384, 1);
    struct iovec to = {c->in + c->in_len, c->in_cap - c->in_len - 1};
    struct msghdr message = {
        .msg_iov = &to, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(c->fd, &message, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return 0;
    if (n < 0) return 1;
    int64_t arrival_ns = kernel_timestamp_ns(&message, now_ns());
    c->in_len += (size_t)n;
    c->in[c->in_len] = 0; /* strtol stops here */
    return parse(c, arrival_ns);
}

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Connection *c = calloc(1, sizeof *c);
        if (!c) { perror("calloc"); exit(1); }
        c->fd = fd;
        c->index = n_connections++;
        watch(c, EPOLLIN, EPOLL_CTL_ADD);
    }
}

/* -- event loop -------------------------------------------------------------------------------- */

static int wait_for(struct epoll_event *events, int max_events) {
    int64_t left = n_heap ? heap[0]->due_ns - now_ns() - SPIN_NS : 100000000;
    if (left <= 0) return epoll_wait(epoll_fd, events, max_events, 0);
    if (left > 100000000) left = 100000000;
#ifdef SYS_epoll_pwait2
    static int unsupported;
    if (!unsupported) {
        struct timespec t = {left / 1000000000, left % 1000000000};
        int n = (int)syscall(SYS_epoll_pwait2, epoll_fd, events, max_events, &t, NULL, 0);
        if (n >= 0 || errno != ENOSYS) return n;
        unsupported = 1;
    }
#endif
    return epoll_wait(epoll_fd, events, max_events, (int)(left / 1000000));
}

static void send_due(void) {
    int64_t now = now_ns();
    for (int i = 0; i < SENDS_PER_POLL && n_heap && heap[0]->due_ns <= now; i++) {
        Connection *c = pop();
        if (c->closed)
            release(c);
        else if (!send_token(c) || (!c->request && c->in_len && !parse(c, now)))
            shut(c);
    }
}

static void serve(int listener) {
    struct epoll_event events[64];
    while (!stopping) {
        int n = wait_for(events, 64);
        for (int i = 0; i < n; i++) {
            Connection *c = events[i].data.ptr;
            if (!c)
                accept_all(listener);
            else if ((events[i].events & EPOLLOUT && !flush(c)) ||
                     (events[i].events & ~EPOLLOUT && !readable(c)))
                shut(c);
        }
        send_due();
    }
}

static void write_truth(const char *file) {
    FILE *out = fopen(file, "wb");
    if (!out) { perror(file); exit(1); }
    int64_t times[2] = {ttft_ns, itl_ns};
    uint64_t count = n_requests;
    fwrite("TBTRUTH1", 8, 1, out);
    fwrite(times, 8, 2, out);
    fwrite(&count, 8, 1, out);
    for (size_t i = 0; i < n_requests; i++) {
        Request *r = requests[i];
        uint32_t plain[6] = {r->connection, r->number, r->asked, r->sent, r->prompt_tokens, r->blocked};
        fwrite(&r->id, 8, 1, out);
        fwrite(&r->arrival_ns, 8, 1, out);
        fwrite(plain, 4, 6, out);
    }
    for (size_t i = 0; i < n_requests; i++) fwrite(requests[i]->send_ns, 8, requests[i]->sent, out);
    if (fclose(out)) { perror(file); exit(1); }
}

static void on_signal(int number) {
    (void)number;
    stopping = 1;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: server PORT TTFT_US ITL_US TRUTH_FILE (PORT 0: any free port, which is printed)\n");
        return 2;
    }
    ttft_ns = atoll(argv[2]) * 1000;
    itl_ns = atoll(argv[3]) * 1000;
    char event[1024];
    snprintf(event, sizeof event, TOKEN, "null");
    token_chunk_len = chunk(token_chunk, event);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one); /* inherited by connections */
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    if (bind(listener, (struct sockaddr *)&where, size) || listen(listener, 4096)) {
        perror("bind");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&where, &size);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    printf("%d\n", ntohs(where.sin_port));
    fflush(stdout);
    serve(listener);
    write_truth(argv[4]);
    return 0;
}

// What a compiled program does beside Brian2's own code: reads its numbers from files, restarts trials, drives inputs,
// records. Brian2 generates everything between the hooks `begin` and `end` of a step.
//
// Files are raw numbers in the folder data/ of the working directory, results in results/. A file that is missing or has
// the wrong length ends the program with code 3, a number that is not finite with code 4, a result that cannot be written
// with code 5.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// The vector forms of these functions in glibc's libmvec, for loops over cells: they round within a few units in the last
// place, and take a fraction of the time. glibc declares them under -ffast-math alone, which would regroup sums.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#if __GLIBC_PREREQ(2, 35)
#define CORTEXSNN_VECTOR(name) extern "C" __attribute__((__simd__("notinbranch"))) double name(double) noexcept;
CORTEXSNN_VECTOR(exp)
CORTEXSNN_VECTOR(expm1)
CORTEXSNN_VECTOR(log)
CORTEXSNN_VECTOR(log10)
CORTEXSNN_VECTOR(log1p)
CORTEXSNN_VECTOR(sin)
CORTEXSNN_VECTOR(cos)
CORTEXSNN_VECTOR(tan)
CORTEXSNN_VECTOR(sinh)
CORTEXSNN_VECTOR(cosh)
CORTEXSNN_VECTOR(tanh)
CORTEXSNN_VECTOR(atan)
CORTEXSNN_VECTOR(asin)
CORTEXSNN_VECTOR(acos)
#endif
#endif

namespace cortexsnn {

[[noreturn]] inline void fail(int code, const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::fflush(stderr);
    std::_Exit(code);
}

// A file of numbers; its pages are read when they are needed.
template <class T>
struct Numbers {
    const T* data = nullptr;
    size_t size = 0;

    explicit Numbers(const std::string& name, size_t expected = SIZE_MAX) {
        const std::string path = "data/" + name;
        const int file = open(path.c_str(), O_RDONLY);
        struct stat found;
        if (file < 0 || fstat(file, &found) != 0) fail(3, path + ": missing or not readable");
        size = size_t(found.st_size) / sizeof(T);
        if (size * sizeof(T) != size_t(found.st_size) || (expected != SIZE_MAX && size != expected))
            fail(3, path + ": expected " + (expected == SIZE_MAX ? "whole" : std::to_string(expected)) + " numbers of " +
                        std::to_string(sizeof(T)) + " bytes, got " + std::to_string(found.st_size) + " bytes");
        if (size) {
            void* at = mmap(nullptr, found.st_size, PROT_READ, MAP_PRIVATE, file, 0);
            if (at == MAP_FAILED) fail(3, path + ": cannot be mapped");
            data = static_cast<const T*>(at);
        }
        close(file);
    }
    void close_file() {
        if (data) munmap(const_cast<T*>(data), size * sizeof(T));
        data = nullptr;
    }
};

template <class T>
void load(const std::string& name, T* to, size_t n) {
    Numbers<T> file(name, n);
    std::memcpy(to, file.data, n * sizeof(T));
    file.close_file();
}

template <class T>
void load(const std::string& name, std::vector<T>& to) {
    Numbers<T> file(name);
    to.assign(file.data, file.data + file.size);
    file.close_file();
}

// Signed weights from magnitudes: one of each edge, or one of all.
inline void load_weights(const std::string& name, std::vector<double>& to, size_t n, double sign) {
    Numbers<double> file(name, n);
    to.resize(n);
    for (size_t k = 0; k < n; k++) to[k] = sign * file.data[k];
    file.close_file();
}

inline void load_weights(const std::string& name, double* to, size_t, double sign) {
    load(name, to, 1);
    *to *= sign;
}

// What Brian2's queue of a pathway prepares from vectors of edges and delays, from files and without spare room.
// `spent` steps of each delay have passed when spikes enter the queue. Returns the number of edges.
template <class Pathway>
size_t fill_queue(Pathway& pathway, const std::string& name, int spent, double dt, int n_source, int n_target) {
    Numbers<int32_t> pre(name + ".pre"), delay(name + ".delay");
    const size_t n = pre.size;
    if (delay.size != 1 && delay.size != n) fail(3, "data/" + name + ".delay: wrong length");
    auto& queue = *pathway.queue[0];
    pathway.Nsource = n_source, pathway.Ntarget = n_target;
    int shortest = delay.data[0] - spent, longest = shortest;
    for (size_t k = 1; k < delay.size; k++) {
        const int steps = delay.data[k] - spent;
        if (steps < shortest) shortest = steps;
        if (steps > longest) longest = steps;
    }
    if (shortest < 0) fail(3, "data/" + name + ".delay: a delay shorter than a step");
    const size_t kept = shortest == longest ? 1 : n;
    queue.delays = new int[kept];
    for (size_t k = 0; k < kept; k++) queue.delays[k] = delay.data[k] - spent;
    std::vector<size_t> edges(n_source, 0);
    for (size_t k = 0; k < n; k++) {
        if (pre.data[k] < 0 || pre.data[k] >= n_source) fail(3, "data/" + name + ".pre: a cell that is not there");
        edges[pre.data[k]]++;
    }
    queue.synapses.resize(n_source);
    for (int i = 0; i < n_source; i++) queue.synapses[i].reserve(edges[i]);
    for (size_t k = 0; k < n; k++) queue.synapses[pre.data[k]].push_back(int(k));
    queue.dt = dt;
    queue.ensure_delay(longest);
    queue.scalar_delay = kept == 1;
    pre.close_file();
    delay.close_file();
    return n;
}

// The same number for all of `n` edges.
inline void fill(const std::string& name, std::vector<double>& to, size_t n) {
    Numbers<double> file(name, 1);
    to.assign(n, file.data[0]);
    file.close_file();
}

// Cells at the end of edges, which the program writes to.
inline void load_cells(const std::string& name, std::vector<int32_t>& to, size_t n, int cells) {
    load(name, to);
    if (to.size() != n) fail(3, "data/" + name + ": wrong length");
    for (int32_t cell : to)
        if (cell < 0 || cell >= cells) fail(3, "data/" + name + ": a cell that is not there");
}

// Results grow by appending; a full disk is noticed.
struct Results {
    std::string path;
    FILE* file = nullptr;

    explicit Results(const std::string& name) : path("results/" + name) {
        file = std::fopen(path.c_str(), "wb");
        if (!file) fail(5, path + ": cannot be created");
        std::setvbuf(file, nullptr, _IOFBF, 1 << 20);
    }
    template <class T>
    void append(const T* from, size_t n) {
        if (std::fwrite(from, sizeof(T), n, file) != n) fail(5, path + ": cannot be written; is the disk full?");
    }
    void finish() {
        if (std::fflush(file) != 0 || std::fclose(file) != 0) fail(5, path + ": cannot be written; is the disk full?");
    }
};

// Philox4x64-10 (Salmon et al. 2011), the stream that numpy's generator of that name draws from with a fresh counter.
struct Philox {
    uint64_t key[2];

    // Blocks `counter` to `counter + 3`, four numbers each; several at a time keep the multiplier busy.
    void blocks(uint64_t counter, uint64_t* out) const {
        uint64_t c0[4], c1[4] = {0, 0, 0, 0}, c2[4] = {0, 0, 0, 0}, c3[4] = {0, 0, 0, 0}, k0 = key[0], k1 = key[1];
        for (int i = 0; i < 4; i++) c0[i] = counter + i;
        for (int round = 0; round < 10; round++) {
            for (int i = 0; i < 4; i++) {
                const unsigned __int128 p0 = (unsigned __int128)c0[i] * 0xD2E7470EE14C6C93ULL;
                const unsigned __int128 p1 = (unsigned __int128)c2[i] * 0xCA5A826395121157ULL;
                c0[i] = uint64_t(p1 >> 64) ^ c1[i] ^ k0;
                c1[i] = uint64_t(p1);
                c2[i] = uint64_t(p0 >> 64) ^ c3[i] ^ k1;
                c3[i] = uint64_t(p0);
            }
            k0 += 0x9E3779B97F4A7C15ULL;
            k1 += 0xBB67AE8584CAA73BULL;
        }
        for (int i = 0; i < 4; i++) out[4 * i] = c0[i], out[4 * i + 1] = c1[i], out[4 * i + 2] = c2[i], out[4 * i + 3] = c3[i];
    }
};

// Step within the trial of job J; -1 outside of any trial.
template <int J>
inline int64_t local_step = -1;

struct Job;

// An input: what arrives in a step, as values of its channels or as a list of those that spike.
struct Input {
    size_t n;
    double* value = nullptr;       // (n,), where values are sent
    int32_t* spikes = nullptr;     // (n + 1,), where spikes are sent: cells, then their number at [n]
    virtual void row(int64_t trial, int64_t step) = 0;
    explicit Input(size_t n) : n(n) {}
    virtual ~Input() {}
    void silence() {
        if (value) std::memset(value, 0, n * sizeof(double));
        if (spikes) spikes[n] = 0;
    }
};

// Rows from a file, (trial, step, channel).
template <class T>
struct GivenRows : Input {
    Numbers<T> rows;
    int64_t n_steps;
    GivenRows(const std::string& name, size_t n, int64_t n_steps, int64_t n_trials)
        : Input(n), rows(name, n * size_t(n_steps) * size_t(n_trials)), n_steps(n_steps) {}
    void row(int64_t trial, int64_t step) override {
        const T* from = rows.data + (trial * n_steps + step) * n;
        if (value)
            for (size_t i = 0; i < n; i++) value[i] = double(from[i]);
        if (spikes) {
            int32_t count = 0;
            for (size_t i = 0; i < n; i++)
                if (from[i]) spikes[count++] = int32_t(i);
            spikes[n] = count;
        }
    }
};

constexpr int64_t DRIVE_CHUNK = CORTEXSNN_DRIVE_CHUNK;    // steps of a stream, defined by who includes this

// Counts drawn in the step in which they arrive: as many as there are entries above a uniform number in the channel's
// table of tails, P(count >= 1), P(count >= 2), … One stream for each trial and each `chunk` of steps.
struct DrawnRows : Input {
    Numbers<uint64_t> keys;                // (trial, chunk, 2)
    Numbers<int32_t> table;                // (channel,)
    std::vector<uint64_t> below;           // (table, length): tails as bounds of the 53 bits of a uniform number
    std::vector<uint64_t> bits;
    int64_t chunk, chunks;
    size_t length;
    DrawnRows(const std::string& name, size_t n, int64_t n_steps, int64_t n_trials)
        : Input(n), keys(name + ".keys"), table(name + ".table", n), bits(n + 32), chunk(DRIVE_CHUNK) {
        chunks = (n_steps + chunk - 1) / chunk;
        if (keys.size != size_t(2 * chunks * n_trials)) fail(3, "data/" + name + ".keys: wrong length");
        int32_t tables = 1;
        for (size_t i = 0; i < n; i++) tables = table.data[i] >= tables ? table.data[i] + 1 : tables;
        Numbers<double> tails(name + ".tails");
        length = tails.size / tables;
        if (!length || length * tables != tails.size) fail(3, "data/" + name + ".tails: wrong length");
        for (size_t k = 0; k < tails.size; k++) below.push_back(uint64_t(std::ceil(tails.data[k] * 9007199254740992.0)));
        tails.close_file();
    }
    void row(int64_t trial, int64_t step) override {
        const uint64_t* key = keys.data + 2 * (trial * chunks + step / chunk);
        const Philox random{{key[0], key[1]}};
        const uint64_t first = uint64_t(step % chunk) * n;
        // Number m of a stream is entry m % 4 of block m / 4 + 1.
        for (uint64_t made = 0; made < n + first % 4; made += 16) random.blocks(first / 4 + 1 + made / 4, bits.data() + made);
        const uint64_t* draw = bits.data() + first % 4;
        int32_t spiking = 0;
        for (size_t i = 0; i < n; i++) {
            const uint64_t* bound = below.data() + table.data[i] * length;
            const uint64_t u = draw[i] >> 11;
            size_t count = 0;
            while (count < length && u < bound[count]) count++;
            if (value) value[i] = double(count);
            else if (count) spikes[spiking++] = int32_t(i);
        }
        if (spikes) spikes[n] = spiking;
    }
};

// Values of an input to a port along all its edges, in their order, in every step.
struct Delivery {
    const double* value;
    double* port;
    Numbers<int32_t> pre, post;
    Numbers<double> weight;
    double sign;
    bool own = true;           // edge k connects k to k
    Delivery(const double* value, size_t n_pre, double* port, size_t n_post, const std::string& name, int k, double sign)
        : value(value), port(port), pre(name + ".pre"), post(name + ".post", pre.size), weight(name + ".w" + std::to_string(k)), sign(sign) {
        if (weight.size != 1 && weight.size != pre.size) fail(3, "data/" + name + ": wrong number of weights");
        for (size_t e = 0; e < pre.size; e++) {
            if (size_t(pre.data[e]) >= n_pre || size_t(post.data[e]) >= n_post) fail(3, "data/" + name + ": a cell that is not there");
            own = own && pre.data[e] == int32_t(e) && post.data[e] == int32_t(e);
        }
    }
    void operator()() const {
        const size_t n = pre.size;
        const double* __restrict v = value;
        double* __restrict to = port;
        const double* __restrict w = weight.data;
        const double s = sign;
        if (own && weight.size == 1)
            for (size_t k = 0; k < n; k++) to[k] += (s * w[0]) * v[k];
        else if (own)
            for (size_t k = 0; k < n; k++) to[k] += (s * w[k]) * v[k];
        else
            for (size_t k = 0; k < n; k++) to[post.data[k]] += (s * (weight.size == 1 ? w[0] : w[k])) * v[pre.data[k]];
    }
};

// Values of chosen cells, or their sum or mean, appended in every step of a trial.
struct Probe {
    enum Over { Cells, Sum, Mean };
    const double* from;
    size_t n;
    Numbers<int32_t> cells;    // empty: all of them
    Over over;
    Results results;
    std::vector<double> row;
    Probe(const double* from, size_t n, const std::string& name, Over over)
        : from(from), n(n), cells(name + ".cells"), over(over), results(name), row(cells.size) {
        for (size_t k = 0; k < cells.size; k++)
            if (size_t(cells.data[k]) >= n) fail(3, "data/" + name + ".cells: a cell that is not there");
    }
    void record() {
        if (over != Cells) {
            double total = 0;
            if (cells.size)
                for (size_t k = 0; k < cells.size; k++) total += from[cells.data[k]];
            else
                for (size_t k = 0; k < n; k++) total += from[k];
            if (over == Mean) total /= double(cells.size ? cells.size : n);
            results.append(&total, 1);
        } else if (cells.size) {
            for (size_t k = 0; k < cells.size; k++) row[k] = from[cells.data[k]];
            results.append(row.data(), row.size());
        } else
            results.append(from, n);
    }
};

// Trials, steps and cells of spikes.
struct SpikeProbe {
    const int32_t* spikes;
    size_t n;
    Results trials, steps, cells;
    SpikeProbe(const int32_t* spikes, size_t n, const std::string& name)
        : spikes(spikes), n(n), trials(name + ".trial"), steps(name + ".step"), cells(name + ".neuron") {}
    void record(int64_t trial, int64_t step) {
        const int32_t trial_number = int32_t(trial), step_number = int32_t(step);
        for (int32_t k = 0; k < spikes[n]; k++) {
            trials.append(&trial_number, 1);
            steps.append(&step_number, 1);
        }
        cells.append(spikes, size_t(spikes[n]));
    }
    void finish() { trials.finish(), steps.finish(), cells.finish(); }
};

struct Job {
    int64_t n_steps, period, n_trials, now = -1, trial = -1, step = -1;
    int number;
    std::vector<Input*> inputs;
    std::vector<std::pair<int32_t*, int32_t>> gates;                   // lists of all cells, open within a trial
    std::vector<std::pair<double*, std::vector<double>>> initial;      // states and what they start from
    std::vector<std::pair<double*, size_t>> queues;                    // values on their way, gone when a trial starts
    struct Watched { std::string name; const double* values; size_t n; };
    std::vector<Watched> watched;
    std::vector<Probe*> probes;
    std::vector<SpikeProbe*> spike_probes;
    std::vector<std::pair<const std::vector<double>*, Results*>> finals;   // what is written when the run ends

    Job(int number, const std::string& name) : number(number) {
        Numbers<int64_t> times(name, 3);
        n_steps = times.data[0], period = times.data[1], n_trials = times.data[2];
    }
    int64_t total() const { return period * n_trials; }
    void gate(int32_t* cells, size_t n) {
        for (size_t i = 0; i < n; i++) cells[i] = int32_t(i);
        gates.push_back({cells + n, int32_t(n)});
    }
    void start(const std::string& name, double* state, size_t n) {
        load(name, state, n);
        if (n_trials > 1) initial.push_back({state, std::vector<double>(state, state + n)});
    }
    // Step within the trial, -1 outside of any.
    int64_t begin() {
        now++;
        trial = now / period, step = now % period;
        const bool inside = trial < n_trials && step < n_steps;
        if (!inside) step = -1;
        if (step == 0 && trial > 0) {
            for (auto& [state, from] : initial) std::memcpy(state, from.data(), from.size() * sizeof(double));
            for (auto& [values, n] : queues) std::memset(values, 0, n * sizeof(double));
        }
        for (Input* input : inputs) inside ? input->row(trial, step) : input->silence();
        for (auto& [count, n] : gates) *count = inside ? n : 0;
        return step;
    }
    void end() {
        if (step < 0) return;
        for (const Watched& w : watched) check(w);
        for (Probe* probe : probes) probe->record();
        for (SpikeProbe* probe : spike_probes) probe->record(trial, step);
    }
    void check(const Watched& w) const {
        // All bits of the exponent are set in NaN and infinity alone; whole numbers let the compiler check several at once.
        const uint64_t* bits = reinterpret_cast<const uint64_t*>(w.values);
        const uint64_t exponent = 0x7FF0000000000000ULL;
        uint64_t bad = 0;
        for (size_t i = 0; i < w.n; i++) bad |= uint64_t((bits[i] & exponent) == exponent);
        if (!bad) return;
        for (size_t i = 0; i < w.n; i++)
            if ((bits[i] & exponent) == exponent) {
                std::printf("not finite: %d %s %zu %lld %.17g\n", number, w.name.c_str(), i, (long long)step, w.values[i]);
                std::fflush(stdout);
                std::_Exit(4);
            }
    }
    void finish() {
        for (Probe* probe : probes) probe->results.finish();
        for (SpikeProbe* probe : spike_probes) probe->finish();
        for (auto& [values, results] : finals) {
            results->append(values->data(), values->size());
            results->finish();
        }
    }
};

// "done k" for every two hundredth part of a run, for a progress bar.
inline void tell_progress(int64_t done, int64_t total) {
    const int64_t part = total / 200 + 1;
    if (done % part == 0) {
        std::printf("done %lld\n", (long long)done);
        std::fflush(stdout);
    }
}

}  // namespace cortexsnn

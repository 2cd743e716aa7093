
use builtin;
use str;

set edit:completion:arg-completer[highwater] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'highwater'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'highwater'= {
            cand --memory 'Hard ceiling over links, chunks and codec state'
            cand --chunk 'Largest chunk [default: 256KiB, or a quarter of its link]'
            cand --max-rss 'Stop the run with code 7 before more is resident'
            cand --progress 'On stderr: auto, live, plain, json or none [default: auto]'
            cand --interval 'How often plain and json report; a bare number is seconds'
            cand --color 'When to use colour; `NO_COLOR` and TERM=dumb are honoured'
            cand --metrics 'Serve the run''s numbers to Prometheus at http://HOST:PORT/metrics'
            cand --log 'How much to log to standard error'
            cand --stats 'At the end, write one line of JSON to a file; - is stderr'
            cand --record 'Write every sample to a file, for `highwater report`'
            cand --timeout 'End with code 8 if the whole run takes longer'
            cand --stall-timeout 'End with code 8 if no byte moves for so long'
            cand --drain 'How long a signal lets a run commit what it has read, before it is rolled back'
            cand --min-rate 'End with code 8 if the sink takes less on average'
            cand --min-rate-grace 'How long --min-rate is averaged over, and how long a run has before it counts'
            cand --ignore-backpressure 'Show what happens without backpressure: links without a bound'
            cand -q 'Show nothing but errors'
            cand --quiet 'Show nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand demo 'Show in 15 seconds what backpressure is for: the same chain without it and with it'
            cand stages 'List the stages, or explain one'
            cand explain 'Show what a pipeline would do, and where its memory would go, without running it'
            cand ctl 'Steer a run from another terminal: a throttle''s rate, a pause of the sink, a sample'
            cand report 'Draw recordings of --record: memory against the ceiling, stages, links, rates'
            cand attach 'Look at a pipeline that is already running: which part of it is slow?'
            cand serve 'Serve a pipeline over HTTP: one run for each request, under one memory ceiling'
            cand check 'Check whether a program or a server honours backpressure, before it is deployed'
            cand generate 'Write the manual pages, the completions and the generated tables of the documents'
        }
        &'highwater;demo'= {
            cand --seconds 'How long to watch each of the two runs'
            cand --report 'At the end, draw both runs into a file: .html, .svg or .png'
            cand --color 'When to use colour; `NO_COLOR` and TERM=dumb are honoured'
            cand --records 'Show what a bound of 16 records is worth where records grow: the same chain bounded by count alone, and by count and bytes'
            cand --ascii 'Draw with ASCII only, as where the locale knows nothing else'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'highwater;stages'= {
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'highwater;explain'= {
            cand --memory 'Hard ceiling over links, chunks and codec state'
            cand --chunk 'Largest chunk [default: 256KiB, or a quarter of its link]'
            cand --max-rss 'Stop the run with code 7 before more is resident'
            cand --progress 'On stderr: auto, live, plain, json or none [default: auto]'
            cand --interval 'How often plain and json report; a bare number is seconds'
            cand --color 'When to use colour; `NO_COLOR` and TERM=dumb are honoured'
            cand --metrics 'Serve the run''s numbers to Prometheus at http://HOST:PORT/metrics'
            cand --log 'How much to log to standard error'
            cand --stats 'At the end, write one line of JSON to a file; - is stderr'
            cand --record 'Write every sample to a file, for `highwater report`'
            cand --timeout 'End with code 8 if the whole run takes longer'
            cand --stall-timeout 'End with code 8 if no byte moves for so long'
            cand --drain 'How long a signal lets a run commit what it has read, before it is rolled back'
            cand --min-rate 'End with code 8 if the sink takes less on average'
            cand --min-rate-grace 'How long --min-rate is averaged over, and how long a run has before it counts'
            cand --ignore-backpressure 'Show what happens without backpressure: links without a bound'
            cand -q 'Show nothing but errors'
            cand --quiet 'Show nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'highwater;ctl'= {
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'highwater;report'= {
            cand -o 'Where to write it; the name says what: .html, .svg or .png'
            cand --output 'Where to write it; the name says what: .html, .svg or .png'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'highwater;attach'= {
            cand --progress 'What to show: auto, live, plain, json or none [default: auto]'
            cand --interval 'How often plain and json report; a bare number is seconds'
            cand --color 'When to use colour: auto, always, never'
            cand --metrics 'Serve the numbers to Prometheus at http://HOST:PORT/metrics'
            cand --stats 'At the end, write one line of JSON to a file; - is stderr'
            cand --record 'Write every sample to a file, for `highwater report`'
            cand --once 'Print one picture on stdout, after one interval, and end'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'highwater;serve'= {
            cand --route 'A pipeline of another path, which is matched literally; may be repeated'
            cand --header 'A header of every response, or @FILE with one a line; may be repeated'
            cand --name 'The file name that clients are told [default: the last part of a path that has a dot]'
            cand --host 'A name under which clients may call the service; may be repeated [default: any, but on loopback only localhost]'
            cand --cert 'The server''s certificate and those that lead to its authority, PEM: serves HTTPS'
            cand --key 'The key of the certificate, PEM'
            cand --memory 'Hard ceiling over the buffers of all runs and connections'
            cand --run-memory 'The share of one run [default: the least its pipeline needs, and 256KiB a link]'
            cand --max-clients 'The most runs at once [default: as many as fit the memory]'
            cand --route-clients 'The most runs of a route at once, or of each; may be repeated'
            cand --queue-timeout 'How long a request waits for its turn, in order, before it gets 503'
            cand --per-address 'The most requests of one address at once, those that wait included; more get 429'
            cand --min-rate 'Cut a client that takes less, or sends less, while the run waits for it'
            cand --min-rate-grace 'How long --min-rate is averaged over, and how long a client has before it counts'
            cand --stall-timeout 'End a run in which no byte moves for so long'
            cand --timeout 'End a run that takes longer'
            cand --drain 'How long runs may go on after the first SIGTERM or Ctrl-C; the second cuts them'
            cand --access-log 'Append a line of JSON for each request to a file; - is standard output'
            cand --metrics 'Serve the numbers to Prometheus at http://HOST:PORT/metrics'
            cand --progress 'On stderr: auto, live, plain or none [default: auto]'
            cand --interval 'How often plain reports; a bare number is seconds'
            cand --color 'When to use colour: auto, always, never'
            cand --log 'How much to log to standard error'
            cand -q 'Show nothing but errors'
            cand --quiet 'Show nothing but errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'highwater;check'= {
            cand --rate 'How fast the output is read'
            cand --seconds 'Duration of the check; at least 2s'
            cand --max-rss 'Memory limit [default: a quarter of free memory]'
            cand --max-disk 'Limit of written files [default: 1GiB]'
            cand --input 'Feed this file, repeated without end'
            cand --input-kind 'Feed random lines, json or csv'
            cand --pid 'A process of the server [default: found by the port]'
            cand --clients 'Number of clients of a server'
            cand --header 'Send this header: ''NAME: VALUE'' or @FILE'
            cand --method 'Request method [default: GET, or POST with --body]'
            cand --body 'Send this body: text or @FILE'
            cand --record 'Write samples and verdict there, as JSON lines'
            cand --color 'When to use colour: auto, always, never'
            cand --json 'Print JSON lines on stdout'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'highwater;generate'= {
            cand --to 'Where the project is: files go to its man/ and completions/, tables into its README.md and docs/'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
    ]
    $completions[$command]
}

# Stages and their parameters, in the :: form.
var highwater-parameters = [
    &read=['path=' 'size=' 'zero-copy=' 'follow=' 'from=' 'state=' 'connect-timeout=' 'retry=' 'user-timeout=' 'ca=' 'cert=' 'key=' 'verify=' 'method=' 'header=' 'user=' 'body=' 'table=' 'columns=' 'query=' 'format=' 'max-time=' 'threads=' 'range=' 'endpoint=' 'region=' 'profile=' 'style=' 'imds=' 'as=' 'max-record=' 'origin=' 'high=' 'low=' 'high-records=' 'low-records=']
    &write=['path=' 'append=' 'clobber=' 'sync=' 'mode=' 'in-place=' 'sparse=' 'verify=' 'resume=' 'checkpoint=' 'connect-timeout=' 'retry=' 'user-timeout=' 'linger=' 'ca=' 'cert=' 'key=' 'method=' 'header=' 'user=' 'type=' 'name=' 'table=' 'columns=' 'format=' 'commit-every=' 'threads=' 'part=' 'state=' 'if-absent=' 'presign=' 'endpoint=' 'region=' 'profile=' 'style=' 'imds=' 'as=' 'origin=']
    &batch=['size=' 'pipeline=' 'records=' 'every=' 'retry=' 'spool=']
    &tee=['branch=' 'when-full=' 'on-failure=' 'optional=' 'detach=' 'high=' 'low=' 'high-records=' 'low-records=']
    &gzip=['level=' 'threads=' 'member=' 'single=' 'flush=' 'high=' 'low=' 'high-records=' 'low-records=']
    &gunzip=['high=' 'low=' 'high-records=' 'low-records=']
    &zstd=['level=' 'threads=' 'window=' 'frame=' 'flush=' 'high=' 'low=' 'high-records=' 'low-records=']
    &unzstd=['high=' 'low=' 'high-records=' 'low-records=']
    &xz=['level=' 'threads=' 'high=' 'low=' 'high-records=' 'low-records=']
    &unxz=['high=' 'low=' 'high-records=' 'low-records=']
    &bzip2=['level=' 'high=' 'low=' 'high-records=' 'low-records=']
    &bunzip2=['high=' 'low=' 'high-records=' 'low-records=']
    &lz4=['level=' 'flush=' 'high=' 'low=' 'high-records=' 'low-records=']
    &unlz4=['high=' 'low=' 'high-records=' 'low-records=']
    &brotli=['level=' 'flush=' 'high=' 'low=' 'high-records=' 'low-records=']
    &unbrotli=['high=' 'low=' 'high-records=' 'low-records=']
    &decompress=['high=' 'low=' 'high-records=' 'low-records=']
    &lines=['max-record=' 'long=' 'reject=' 'high=' 'low=' 'high-records=' 'low-records=']
    &from-json=['items=' 'max-record=' 'long=' 'bad=' 'reject=' 'high=' 'low=' 'high-records=' 'low-records=']
    &from-csv=['delimiter=' 'header=' 'columns=' 'types=' 'max-record=' 'long=' 'bad=' 'reject=' 'high=' 'low=' 'high-records=' 'low-records=']
    &from-sse=['data=' 'max-record=' 'long=' 'bad=' 'reject=' 'high=' 'low=' 'high-records=' 'low-records=']
    &to-json=['array=' 'high=' 'low=' 'high-records=' 'low-records=']
    &to-csv=['columns=' 'delimiter=' 'bad=' 'reject=' 'high=' 'low=' 'high-records=' 'low-records=']
    &to-sse=['keep-alive=' 'bad=' 'reject=' 'high=' 'low=' 'high-records=' 'low-records=']
    &where=['condition=' 'high=' 'low=' 'high-records=' 'low-records=']
    &select=['field=' 'high=' 'low=' 'high-records=' 'low-records=']
    &drop=['field=' 'high=' 'low=' 'high-records=' 'low-records=']
    &grep=['pattern=' 'invert=' 'field=' 'fixed=' 'threads=' 'high=' 'low=' 'high-records=' 'low-records=']
    &redact=['pattern=' 'with=' 'field=' 'threads=' 'high=' 'low=' 'high-records=' 'low-records=']
    &upper=['field=' 'high=' 'low=' 'high-records=' 'low-records=']
    &lower=['field=' 'high=' 'low=' 'high-records=' 'low-records=']
    &throttle=['rate=' 'burst=' 'high=' 'low=' 'high-records=' 'low-records=']
    &take=['size=' 'records=' 'high=' 'low=' 'high-records=' 'low-records=']
    &skip=['size=' 'records=' 'high=' 'low=' 'high-records=' 'low-records=']
    &limit=['size=' 'high=' 'low=' 'high-records=' 'low-records=']
    &buffer=['size=' 'high=' 'low=' 'high-records=' 'low-records=']
    &hash=['algo=' 'expect=' 'label=' 'to=' 'high=' 'low=' 'high-records=' 'low-records=']
    &exec=['program=' 'env=' 'dir=' 'grace=' 'tty=' 'high=' 'low=' 'high-records=' 'low-records=']
    &sh=['script=' 'env=' 'dir=' 'grace=' 'tty=' 'high=' 'low=' 'high-records=' 'low-records=']
]
var highwater-options = $edit:completion:arg-completer[highwater]
set edit:completion:arg-completer[highwater] = {|@words|
    use str
    $highwater-options $@words
    var begin = 1
    var is-first = $true
    for at [(range 1 (- (count $words) 1))] {
        var word = $words[$at]
        if (eq $word '::') {
            set begin = (+ $at 1)
            set is-first = $false
        } elif (and (== $begin $at) (or (str:has-prefix $word '-') (eq $word explain))) {
            set begin = (+ $at 1)
        }
    }
    if (== $begin (- (count $words) 1)) {
        if $is-first {
            all [read tee gzip gunzip zstd unzstd xz unxz bzip2 bunzip2 lz4 unlz4 brotli unbrotli decompress lines from-json from-csv from-sse to-json to-csv to-sse where select drop grep redact upper lower throttle take skip limit buffer hash exec sh]
        } else {
            all [write batch tee gzip gunzip zstd unzstd xz unxz bzip2 bunzip2 lz4 unlz4 brotli unbrotli decompress lines from-json from-csv from-sse to-json to-csv to-sse where select drop grep redact upper lower throttle take skip limit buffer hash exec sh]
        }
    } elif (has-key $highwater-parameters $words[$begin]) {
        for parameter $highwater-parameters[$words[$begin]] {
            edit:complex-candidate $parameter &code-suffix=''
        }
        if (has-value [read write] $words[$begin]) {
            edit:complete-filename $@words
        }
    }
}

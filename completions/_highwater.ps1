
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'highwater' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'highwater'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'highwater' {
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Hard ceiling over links, chunks and codec state')
            [CompletionResult]::new('--chunk', '--chunk', [CompletionResultType]::ParameterName, 'Largest chunk [default: 256KiB, or a quarter of its link]')
            [CompletionResult]::new('--max-rss', '--max-rss', [CompletionResultType]::ParameterName, 'Stop the run with code 7 before more is resident')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'On stderr: auto, live, plain, json or none [default: auto]')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'How often plain and json report; a bare number is seconds')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour; `NO_COLOR` and TERM=dumb are honoured')
            [CompletionResult]::new('--metrics', '--metrics', [CompletionResultType]::ParameterName, 'Serve the run''s numbers to Prometheus at http://HOST:PORT/metrics')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'How much to log to standard error')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'At the end, write one line of JSON to a file; - is stderr')
            [CompletionResult]::new('--record', '--record', [CompletionResultType]::ParameterName, 'Write every sample to a file, for `highwater report`')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'End with code 8 if the whole run takes longer')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'End with code 8 if no byte moves for so long')
            [CompletionResult]::new('--drain', '--drain', [CompletionResultType]::ParameterName, 'How long a signal lets a run commit what it has read, before it is rolled back')
            [CompletionResult]::new('--min-rate', '--min-rate', [CompletionResultType]::ParameterName, 'End with code 8 if the sink takes less on average')
            [CompletionResult]::new('--min-rate-grace', '--min-rate-grace', [CompletionResultType]::ParameterName, 'How long --min-rate is averaged over, and how long a run has before it counts')
            [CompletionResult]::new('--ignore-backpressure', '--ignore-backpressure', [CompletionResultType]::ParameterName, 'Show what happens without backpressure: links without a bound')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Show in 15 seconds what backpressure is for: the same chain without it and with it')
            [CompletionResult]::new('stages', 'stages', [CompletionResultType]::ParameterValue, 'List the stages, or explain one')
            [CompletionResult]::new('explain', 'explain', [CompletionResultType]::ParameterValue, 'Show what a pipeline would do, and where its memory would go, without running it')
            [CompletionResult]::new('ctl', 'ctl', [CompletionResultType]::ParameterValue, 'Steer a run from another terminal: a throttle''s rate, a pause of the sink, a sample')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Draw recordings of --record: memory against the ceiling, stages, links, rates')
            [CompletionResult]::new('attach', 'attach', [CompletionResultType]::ParameterValue, 'Look at a pipeline that is already running: which part of it is slow?')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve a pipeline over HTTP: one run for each request, under one memory ceiling')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check whether a program or a server honours backpressure, before it is deployed')
            [CompletionResult]::new('generate', 'generate', [CompletionResultType]::ParameterValue, 'Write the manual pages, the completions and the generated tables of the documents')
            break
        }
        'highwater;demo' {
            [CompletionResult]::new('--seconds', '--seconds', [CompletionResultType]::ParameterName, 'How long to watch each of the two runs')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'At the end, draw both runs into a file: .html, .svg or .png')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour; `NO_COLOR` and TERM=dumb are honoured')
            [CompletionResult]::new('--records', '--records', [CompletionResultType]::ParameterName, 'Show what a bound of 16 records is worth where records grow: the same chain bounded by count alone, and by count and bytes')
            [CompletionResult]::new('--ascii', '--ascii', [CompletionResultType]::ParameterName, 'Draw with ASCII only, as where the locale knows nothing else')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'highwater;stages' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'highwater;explain' {
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Hard ceiling over links, chunks and codec state')
            [CompletionResult]::new('--chunk', '--chunk', [CompletionResultType]::ParameterName, 'Largest chunk [default: 256KiB, or a quarter of its link]')
            [CompletionResult]::new('--max-rss', '--max-rss', [CompletionResultType]::ParameterName, 'Stop the run with code 7 before more is resident')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'On stderr: auto, live, plain, json or none [default: auto]')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'How often plain and json report; a bare number is seconds')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour; `NO_COLOR` and TERM=dumb are honoured')
            [CompletionResult]::new('--metrics', '--metrics', [CompletionResultType]::ParameterName, 'Serve the run''s numbers to Prometheus at http://HOST:PORT/metrics')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'How much to log to standard error')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'At the end, write one line of JSON to a file; - is stderr')
            [CompletionResult]::new('--record', '--record', [CompletionResultType]::ParameterName, 'Write every sample to a file, for `highwater report`')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'End with code 8 if the whole run takes longer')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'End with code 8 if no byte moves for so long')
            [CompletionResult]::new('--drain', '--drain', [CompletionResultType]::ParameterName, 'How long a signal lets a run commit what it has read, before it is rolled back')
            [CompletionResult]::new('--min-rate', '--min-rate', [CompletionResultType]::ParameterName, 'End with code 8 if the sink takes less on average')
            [CompletionResult]::new('--min-rate-grace', '--min-rate-grace', [CompletionResultType]::ParameterName, 'How long --min-rate is averaged over, and how long a run has before it counts')
            [CompletionResult]::new('--ignore-backpressure', '--ignore-backpressure', [CompletionResultType]::ParameterName, 'Show what happens without backpressure: links without a bound')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'highwater;ctl' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'highwater;report' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Where to write it; the name says what: .html, .svg or .png')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Where to write it; the name says what: .html, .svg or .png')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'highwater;attach' {
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'What to show: auto, live, plain, json or none [default: auto]')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'How often plain and json report; a bare number is seconds')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour: auto, always, never')
            [CompletionResult]::new('--metrics', '--metrics', [CompletionResultType]::ParameterName, 'Serve the numbers to Prometheus at http://HOST:PORT/metrics')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'At the end, write one line of JSON to a file; - is stderr')
            [CompletionResult]::new('--record', '--record', [CompletionResultType]::ParameterName, 'Write every sample to a file, for `highwater report`')
            [CompletionResult]::new('--once', '--once', [CompletionResultType]::ParameterName, 'Print one picture on stdout, after one interval, and end')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'highwater;serve' {
            [CompletionResult]::new('--route', '--route', [CompletionResultType]::ParameterName, 'A pipeline of another path, which is matched literally; may be repeated')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'A header of every response, or @FILE with one a line; may be repeated')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The file name that clients are told [default: the last part of a path that has a dot]')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'A name under which clients may call the service; may be repeated [default: any, but on loopback only localhost]')
            [CompletionResult]::new('--cert', '--cert', [CompletionResultType]::ParameterName, 'The server''s certificate and those that lead to its authority, PEM: serves HTTPS')
            [CompletionResult]::new('--key', '--key', [CompletionResultType]::ParameterName, 'The key of the certificate, PEM')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Hard ceiling over the buffers of all runs and connections')
            [CompletionResult]::new('--run-memory', '--run-memory', [CompletionResultType]::ParameterName, 'The share of one run [default: the least its pipeline needs, and 256KiB a link]')
            [CompletionResult]::new('--max-clients', '--max-clients', [CompletionResultType]::ParameterName, 'The most runs at once [default: as many as fit the memory]')
            [CompletionResult]::new('--route-clients', '--route-clients', [CompletionResultType]::ParameterName, 'The most runs of a route at once, or of each; may be repeated')
            [CompletionResult]::new('--queue-timeout', '--queue-timeout', [CompletionResultType]::ParameterName, 'How long a request waits for its turn, in order, before it gets 503')
            [CompletionResult]::new('--per-address', '--per-address', [CompletionResultType]::ParameterName, 'The most requests of one address at once, those that wait included; more get 429')
            [CompletionResult]::new('--min-rate', '--min-rate', [CompletionResultType]::ParameterName, 'Cut a client that takes less, or sends less, while the run waits for it')
            [CompletionResult]::new('--min-rate-grace', '--min-rate-grace', [CompletionResultType]::ParameterName, 'How long --min-rate is averaged over, and how long a client has before it counts')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'End a run in which no byte moves for so long')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'End a run that takes longer')
            [CompletionResult]::new('--drain', '--drain', [CompletionResultType]::ParameterName, 'How long runs may go on after the first SIGTERM or Ctrl-C; the second cuts them')
            [CompletionResult]::new('--access-log', '--access-log', [CompletionResultType]::ParameterName, 'Append a line of JSON for each request to a file; - is standard output')
            [CompletionResult]::new('--metrics', '--metrics', [CompletionResultType]::ParameterName, 'Serve the numbers to Prometheus at http://HOST:PORT/metrics')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'On stderr: auto, live, plain or none [default: auto]')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'How often plain reports; a bare number is seconds')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour: auto, always, never')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'How much to log to standard error')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show nothing but errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'highwater;check' {
            [CompletionResult]::new('--rate', '--rate', [CompletionResultType]::ParameterName, 'How fast the output is read')
            [CompletionResult]::new('--seconds', '--seconds', [CompletionResultType]::ParameterName, 'Duration of the check; at least 2s')
            [CompletionResult]::new('--max-rss', '--max-rss', [CompletionResultType]::ParameterName, 'Memory limit [default: a quarter of free memory]')
            [CompletionResult]::new('--max-disk', '--max-disk', [CompletionResultType]::ParameterName, 'Limit of written files [default: 1GiB]')
            [CompletionResult]::new('--input', '--input', [CompletionResultType]::ParameterName, 'Feed this file, repeated without end')
            [CompletionResult]::new('--input-kind', '--input-kind', [CompletionResultType]::ParameterName, 'Feed random lines, json or csv')
            [CompletionResult]::new('--pid', '--pid', [CompletionResultType]::ParameterName, 'A process of the server [default: found by the port]')
            [CompletionResult]::new('--clients', '--clients', [CompletionResultType]::ParameterName, 'Number of clients of a server')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Send this header: ''NAME: VALUE'' or @FILE')
            [CompletionResult]::new('--method', '--method', [CompletionResultType]::ParameterName, 'Request method [default: GET, or POST with --body]')
            [CompletionResult]::new('--body', '--body', [CompletionResultType]::ParameterName, 'Send this body: text or @FILE')
            [CompletionResult]::new('--record', '--record', [CompletionResultType]::ParameterName, 'Write samples and verdict there, as JSON lines')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour: auto, always, never')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON lines on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'highwater;generate' {
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Where the project is: files go to its man/ and completions/, tables into its README.md and docs/')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    # Stages and their parameters, in the :: form.
    $parameters = @{
        'read' = @('path=', 'size=', 'zero-copy=', 'follow=', 'from=', 'state=', 'connect-timeout=', 'retry=', 'user-timeout=', 'ca=', 'cert=', 'key=', 'verify=', 'method=', 'header=', 'user=', 'body=', 'table=', 'columns=', 'query=', 'format=', 'max-time=', 'threads=', 'range=', 'endpoint=', 'region=', 'profile=', 'style=', 'imds=', 'as=', 'max-record=', 'origin=', 'high=', 'low=', 'high-records=', 'low-records=')
        'write' = @('path=', 'append=', 'clobber=', 'sync=', 'mode=', 'in-place=', 'sparse=', 'verify=', 'resume=', 'checkpoint=', 'connect-timeout=', 'retry=', 'user-timeout=', 'linger=', 'ca=', 'cert=', 'key=', 'method=', 'header=', 'user=', 'type=', 'name=', 'table=', 'columns=', 'format=', 'commit-every=', 'threads=', 'part=', 'state=', 'if-absent=', 'presign=', 'endpoint=', 'region=', 'profile=', 'style=', 'imds=', 'as=', 'origin=')
        'batch' = @('size=', 'pipeline=', 'records=', 'every=', 'retry=', 'spool=')
        'tee' = @('branch=', 'when-full=', 'on-failure=', 'optional=', 'detach=', 'high=', 'low=', 'high-records=', 'low-records=')
        'gzip' = @('level=', 'threads=', 'member=', 'single=', 'flush=', 'high=', 'low=', 'high-records=', 'low-records=')
        'gunzip' = @('high=', 'low=', 'high-records=', 'low-records=')
        'zstd' = @('level=', 'threads=', 'window=', 'frame=', 'flush=', 'high=', 'low=', 'high-records=', 'low-records=')
        'unzstd' = @('high=', 'low=', 'high-records=', 'low-records=')
        'xz' = @('level=', 'threads=', 'high=', 'low=', 'high-records=', 'low-records=')
        'unxz' = @('high=', 'low=', 'high-records=', 'low-records=')
        'bzip2' = @('level=', 'high=', 'low=', 'high-records=', 'low-records=')
        'bunzip2' = @('high=', 'low=', 'high-records=', 'low-records=')
        'lz4' = @('level=', 'flush=', 'high=', 'low=', 'high-records=', 'low-records=')
        'unlz4' = @('high=', 'low=', 'high-records=', 'low-records=')
        'brotli' = @('level=', 'flush=', 'high=', 'low=', 'high-records=', 'low-records=')
        'unbrotli' = @('high=', 'low=', 'high-records=', 'low-records=')
        'decompress' = @('high=', 'low=', 'high-records=', 'low-records=')
        'lines' = @('max-record=', 'long=', 'reject=', 'high=', 'low=', 'high-records=', 'low-records=')
        'from-json' = @('items=', 'max-record=', 'long=', 'bad=', 'reject=', 'high=', 'low=', 'high-records=', 'low-records=')
        'from-csv' = @('delimiter=', 'header=', 'columns=', 'types=', 'max-record=', 'long=', 'bad=', 'reject=', 'high=', 'low=', 'high-records=', 'low-records=')
        'from-sse' = @('data=', 'max-record=', 'long=', 'bad=', 'reject=', 'high=', 'low=', 'high-records=', 'low-records=')
        'to-json' = @('array=', 'high=', 'low=', 'high-records=', 'low-records=')
        'to-csv' = @('columns=', 'delimiter=', 'bad=', 'reject=', 'high=', 'low=', 'high-records=', 'low-records=')
        'to-sse' = @('keep-alive=', 'bad=', 'reject=', 'high=', 'low=', 'high-records=', 'low-records=')
        'where' = @('condition=', 'high=', 'low=', 'high-records=', 'low-records=')
        'select' = @('field=', 'high=', 'low=', 'high-records=', 'low-records=')
        'drop' = @('field=', 'high=', 'low=', 'high-records=', 'low-records=')
        'grep' = @('pattern=', 'invert=', 'field=', 'fixed=', 'threads=', 'high=', 'low=', 'high-records=', 'low-records=')
        'redact' = @('pattern=', 'with=', 'field=', 'threads=', 'high=', 'low=', 'high-records=', 'low-records=')
        'upper' = @('field=', 'high=', 'low=', 'high-records=', 'low-records=')
        'lower' = @('field=', 'high=', 'low=', 'high-records=', 'low-records=')
        'throttle' = @('rate=', 'burst=', 'high=', 'low=', 'high-records=', 'low-records=')
        'take' = @('size=', 'records=', 'high=', 'low=', 'high-records=', 'low-records=')
        'skip' = @('size=', 'records=', 'high=', 'low=', 'high-records=', 'low-records=')
        'limit' = @('size=', 'high=', 'low=', 'high-records=', 'low-records=')
        'buffer' = @('size=', 'high=', 'low=', 'high-records=', 'low-records=')
        'hash' = @('algo=', 'expect=', 'label=', 'to=', 'high=', 'low=', 'high-records=', 'low-records=')
        'exec' = @('program=', 'env=', 'dir=', 'grace=', 'tty=', 'high=', 'low=', 'high-records=', 'low-records=')
        'sh' = @('script=', 'env=', 'dir=', 'grace=', 'tty=', 'high=', 'low=', 'high-records=', 'low-records=')
    }
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    if ($wordToComplete -ne '' -and $words.Count -gt 0) {
        $words = @($words | Select-Object -SkipLast 1)
    }
    $stage = @()
    $names = 'read tee gzip gunzip zstd unzstd xz unxz bzip2 bunzip2 lz4 unlz4 brotli unbrotli decompress lines from-json from-csv from-sse to-json to-csv to-sse where select drop grep redact upper lower throttle take skip limit buffer hash exec sh'
    foreach ($word in $words) {
        if ($word -eq '::') {
            $stage = @()
            $names = 'write batch tee gzip gunzip zstd unzstd xz unxz bzip2 bunzip2 lz4 unlz4 brotli unbrotli decompress lines from-json from-csv from-sse to-json to-csv to-sse where select drop grep redact upper lower throttle take skip limit buffer hash exec sh'
        } elseif ($stage.Count -gt 0 -or -not ($word.StartsWith('-') -or $word -eq 'explain')) {
            $stage += $word
        }
    }
    if ($stage.Count -eq 0) {
        $completions = @($completions) + @($names.Split(' ') | ForEach-Object {
            [CompletionResult]::new($_, $_, [CompletionResultType]::ParameterValue, $_)
        })
    } elseif ($parameters.ContainsKey($stage[0])) {
        $completions = @($completions) + @($parameters[$stage[0]] | ForEach-Object {
            [CompletionResult]::new($_, $_, [CompletionResultType]::ParameterName, $_)
        })
    }
    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}

# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_highwater_global_optspecs
    string join \n memory= chunk= max-rss= ignore-backpressure progress= q/quiet interval= color= metrics= log= stats= record= timeout= stall-timeout= drain= min-rate= min-rate-grace= h/help V/version
end

function __fish_highwater_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_highwater_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_highwater_using_subcommand
    set -l cmd (__fish_highwater_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c highwater -n "__fish_highwater_needs_command" -l memory -d 'Hard ceiling over links, chunks and codec state' -r
complete -c highwater -n "__fish_highwater_needs_command" -l chunk -d 'Largest chunk [default: 256KiB, or a quarter of its link]' -r
complete -c highwater -n "__fish_highwater_needs_command" -l max-rss -d 'Stop the run with code 7 before more is resident' -r
complete -c highwater -n "__fish_highwater_needs_command" -l progress -d 'On stderr: auto, live, plain, json or none [default: auto]' -r -f -a "auto\t'Live on a terminal that no stage uses, else none'
live\t'A picture of the chain, drawn in place; lines where there is no terminal'
plain\t'A line each interval'
json\t'A JSON object each interval'
none\t'Nothing'"
complete -c highwater -n "__fish_highwater_needs_command" -l interval -d 'How often plain and json report; a bare number is seconds' -r
complete -c highwater -n "__fish_highwater_needs_command" -l color -d 'When to use colour; `NO_COLOR` and TERM=dumb are honoured' -r -f -a "auto\t'On a terminal that has it, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c highwater -n "__fish_highwater_needs_command" -l metrics -d 'Serve the run\'s numbers to Prometheus at http://HOST:PORT/metrics' -r
complete -c highwater -n "__fish_highwater_needs_command" -l log -d 'How much to log to standard error' -r -f -a "error\t'Only what ends a run'
warn\t'What a user should know of'
info\t'What happens, step by step'
debug\t'What a developer wants to know'
trace\t'Everything that is no library\'s'"
complete -c highwater -n "__fish_highwater_needs_command" -l stats -d 'At the end, write one line of JSON to a file; - is stderr' -r -F
complete -c highwater -n "__fish_highwater_needs_command" -l record -d 'Write every sample to a file, for `highwater report`' -r -F
complete -c highwater -n "__fish_highwater_needs_command" -l timeout -d 'End with code 8 if the whole run takes longer' -r
complete -c highwater -n "__fish_highwater_needs_command" -l stall-timeout -d 'End with code 8 if no byte moves for so long' -r
complete -c highwater -n "__fish_highwater_needs_command" -l drain -d 'How long a signal lets a run commit what it has read, before it is rolled back' -r
complete -c highwater -n "__fish_highwater_needs_command" -l min-rate -d 'End with code 8 if the sink takes less on average' -r
complete -c highwater -n "__fish_highwater_needs_command" -l min-rate-grace -d 'How long --min-rate is averaged over, and how long a run has before it counts' -r
complete -c highwater -n "__fish_highwater_needs_command" -l ignore-backpressure -d 'Show what happens without backpressure: links without a bound'
complete -c highwater -n "__fish_highwater_needs_command" -s q -l quiet -d 'Show nothing but errors'
complete -c highwater -n "__fish_highwater_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c highwater -n "__fish_highwater_needs_command" -s V -l version -d 'Print version'
complete -c highwater -n "__fish_highwater_needs_command" -f -a "demo" -d 'Show in 15 seconds what backpressure is for: the same chain without it and with it'
complete -c highwater -n "__fish_highwater_needs_command" -f -a "stages" -d 'List the stages, or explain one'
complete -c highwater -n "__fish_highwater_needs_command" -f -a "explain" -d 'Show what a pipeline would do, and where its memory would go, without running it'
complete -c highwater -n "__fish_highwater_needs_command" -f -a "ctl" -d 'Steer a run from another terminal: a throttle\'s rate, a pause of the sink, a sample'
complete -c highwater -n "__fish_highwater_needs_command" -f -a "report" -d 'Draw recordings of --record: memory against the ceiling, stages, links, rates'
complete -c highwater -n "__fish_highwater_needs_command" -f -a "attach" -d 'Look at a pipeline that is already running: which part of it is slow?'
complete -c highwater -n "__fish_highwater_needs_command" -f -a "serve" -d 'Serve a pipeline over HTTP: one run for each request, under one memory ceiling'
complete -c highwater -n "__fish_highwater_needs_command" -f -a "check" -d 'Check whether a program or a server honours backpressure, before it is deployed'
complete -c highwater -n "__fish_highwater_needs_command" -f -a "generate" -d 'Write the manual pages, the completions and the generated tables of the documents'
complete -c highwater -n "__fish_highwater_using_subcommand demo" -l seconds -d 'How long to watch each of the two runs' -r
complete -c highwater -n "__fish_highwater_using_subcommand demo" -l report -d 'At the end, draw both runs into a file: .html, .svg or .png' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand demo" -l color -d 'When to use colour; `NO_COLOR` and TERM=dumb are honoured' -r -f -a "auto\t'On a terminal that has it, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c highwater -n "__fish_highwater_using_subcommand demo" -l records -d 'Show what a bound of 16 records is worth where records grow: the same chain bounded by count alone, and by count and bytes'
complete -c highwater -n "__fish_highwater_using_subcommand demo" -l ascii -d 'Draw with ASCII only, as where the locale knows nothing else'
complete -c highwater -n "__fish_highwater_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c highwater -n "__fish_highwater_using_subcommand stages" -s h -l help -d 'Print help'
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l memory -d 'Hard ceiling over links, chunks and codec state' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l chunk -d 'Largest chunk [default: 256KiB, or a quarter of its link]' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l max-rss -d 'Stop the run with code 7 before more is resident' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l progress -d 'On stderr: auto, live, plain, json or none [default: auto]' -r -f -a "auto\t'Live on a terminal that no stage uses, else none'
live\t'A picture of the chain, drawn in place; lines where there is no terminal'
plain\t'A line each interval'
json\t'A JSON object each interval'
none\t'Nothing'"
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l interval -d 'How often plain and json report; a bare number is seconds' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l color -d 'When to use colour; `NO_COLOR` and TERM=dumb are honoured' -r -f -a "auto\t'On a terminal that has it, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l metrics -d 'Serve the run\'s numbers to Prometheus at http://HOST:PORT/metrics' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l log -d 'How much to log to standard error' -r -f -a "error\t'Only what ends a run'
warn\t'What a user should know of'
info\t'What happens, step by step'
debug\t'What a developer wants to know'
trace\t'Everything that is no library\'s'"
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l stats -d 'At the end, write one line of JSON to a file; - is stderr' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l record -d 'Write every sample to a file, for `highwater report`' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l timeout -d 'End with code 8 if the whole run takes longer' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l stall-timeout -d 'End with code 8 if no byte moves for so long' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l drain -d 'How long a signal lets a run commit what it has read, before it is rolled back' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l min-rate -d 'End with code 8 if the sink takes less on average' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l min-rate-grace -d 'How long --min-rate is averaged over, and how long a run has before it counts' -r
complete -c highwater -n "__fish_highwater_using_subcommand explain" -l ignore-backpressure -d 'Show what happens without backpressure: links without a bound'
complete -c highwater -n "__fish_highwater_using_subcommand explain" -s q -l quiet -d 'Show nothing but errors'
complete -c highwater -n "__fish_highwater_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c highwater -n "__fish_highwater_using_subcommand ctl" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c highwater -n "__fish_highwater_using_subcommand report" -s o -l output -d 'Where to write it; the name says what: .html, .svg or .png' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c highwater -n "__fish_highwater_using_subcommand attach" -l progress -d 'What to show: auto, live, plain, json or none [default: auto]' -r -f -a "auto\t'Live on a terminal that no stage uses, else none'
live\t'A picture of the chain, drawn in place; lines where there is no terminal'
plain\t'A line each interval'
json\t'A JSON object each interval'
none\t'Nothing'"
complete -c highwater -n "__fish_highwater_using_subcommand attach" -l interval -d 'How often plain and json report; a bare number is seconds' -r
complete -c highwater -n "__fish_highwater_using_subcommand attach" -l color -d 'When to use colour: auto, always, never' -r -f -a "auto\t'On a terminal that has it, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c highwater -n "__fish_highwater_using_subcommand attach" -l metrics -d 'Serve the numbers to Prometheus at http://HOST:PORT/metrics' -r
complete -c highwater -n "__fish_highwater_using_subcommand attach" -l stats -d 'At the end, write one line of JSON to a file; - is stderr' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand attach" -l record -d 'Write every sample to a file, for `highwater report`' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand attach" -l once -d 'Print one picture on stdout, after one interval, and end'
complete -c highwater -n "__fish_highwater_using_subcommand attach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l route -d 'A pipeline of another path, which is matched literally; may be repeated' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l header -d 'A header of every response, or @FILE with one a line; may be repeated' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l name -d 'The file name that clients are told [default: the last part of a path that has a dot]' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l host -d 'A name under which clients may call the service; may be repeated [default: any, but on loopback only localhost]' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l cert -d 'The server\'s certificate and those that lead to its authority, PEM: serves HTTPS' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l key -d 'The key of the certificate, PEM' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l memory -d 'Hard ceiling over the buffers of all runs and connections' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l run-memory -d 'The share of one run [default: the least its pipeline needs, and 256KiB a link]' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l max-clients -d 'The most runs at once [default: as many as fit the memory]' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l route-clients -d 'The most runs of a route at once, or of each; may be repeated' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l queue-timeout -d 'How long a request waits for its turn, in order, before it gets 503' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l per-address -d 'The most requests of one address at once, those that wait included; more get 429' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l min-rate -d 'Cut a client that takes less, or sends less, while the run waits for it' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l min-rate-grace -d 'How long --min-rate is averaged over, and how long a client has before it counts' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l stall-timeout -d 'End a run in which no byte moves for so long' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l timeout -d 'End a run that takes longer' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l drain -d 'How long runs may go on after the first SIGTERM or Ctrl-C; the second cuts them' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l access-log -d 'Append a line of JSON for each request to a file; - is standard output' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l metrics -d 'Serve the numbers to Prometheus at http://HOST:PORT/metrics' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l progress -d 'On stderr: auto, live, plain or none [default: auto]' -r -f -a "auto\t'Live on a terminal that no stage uses, else none'
live\t'A picture of the chain, drawn in place; lines where there is no terminal'
plain\t'A line each interval'
json\t'A JSON object each interval'
none\t'Nothing'"
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l interval -d 'How often plain reports; a bare number is seconds' -r
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l color -d 'When to use colour: auto, always, never' -r -f -a "auto\t'On a terminal that has it, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c highwater -n "__fish_highwater_using_subcommand serve" -l log -d 'How much to log to standard error' -r -f -a "error\t'Only what ends a run'
warn\t'What a user should know of'
info\t'What happens, step by step'
debug\t'What a developer wants to know'
trace\t'Everything that is no library\'s'"
complete -c highwater -n "__fish_highwater_using_subcommand serve" -s q -l quiet -d 'Show nothing but errors'
complete -c highwater -n "__fish_highwater_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c highwater -n "__fish_highwater_using_subcommand check" -l rate -d 'How fast the output is read' -r
complete -c highwater -n "__fish_highwater_using_subcommand check" -l seconds -d 'Duration of the check; at least 2s' -r
complete -c highwater -n "__fish_highwater_using_subcommand check" -l max-rss -d 'Memory limit [default: a quarter of free memory]' -r
complete -c highwater -n "__fish_highwater_using_subcommand check" -l max-disk -d 'Limit of written files [default: 1GiB]' -r
complete -c highwater -n "__fish_highwater_using_subcommand check" -l input -d 'Feed this file, repeated without end' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand check" -l input-kind -d 'Feed random lines, json or csv' -r -f -a "lines\t'Lines of 99 characters'
json\t'JSON Lines: objects with a number, a name and a text'
csv\t'CSV with a header and the same three columns'"
complete -c highwater -n "__fish_highwater_using_subcommand check" -l pid -d 'A process of the server [default: found by the port]' -r
complete -c highwater -n "__fish_highwater_using_subcommand check" -l clients -d 'Number of clients of a server' -r
complete -c highwater -n "__fish_highwater_using_subcommand check" -l header -d 'Send this header: \'NAME: VALUE\' or @FILE' -r
complete -c highwater -n "__fish_highwater_using_subcommand check" -l method -d 'Request method [default: GET, or POST with --body]' -r
complete -c highwater -n "__fish_highwater_using_subcommand check" -l body -d 'Send this body: text or @FILE' -r
complete -c highwater -n "__fish_highwater_using_subcommand check" -l record -d 'Write samples and verdict there, as JSON lines' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand check" -l color -d 'When to use colour: auto, always, never' -r -f -a "auto\t'On a terminal that has it, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c highwater -n "__fish_highwater_using_subcommand check" -l json -d 'Print JSON lines on stdout'
complete -c highwater -n "__fish_highwater_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c highwater -n "__fish_highwater_using_subcommand generate" -l to -d 'Where the project is: files go to its man/ and completions/, tables into its README.md and docs/' -r -F
complete -c highwater -n "__fish_highwater_using_subcommand generate" -s h -l help -d 'Print help (see more with \'--help\')'

# Stages and their parameters, in the :: form and inside a quoted pipeline.

# Every stage, each with what it does.
function __highwater_stages
    printf '%s\t%s\n' \
        'read' 'read files, one after the other, standard input, or a URL: TCP, HTTP, a database, a bucket' \
        'write' 'write a file, standard output, or a URL: TCP, HTTP, a database, a bucket' \
        'batch' 'run a pipeline for each part of the stream' \
        'tee' 'send the stream into other pipelines as well' \
        'gzip' 'compress to gzip, on all processors' \
        'gunzip' 'decompress gzip' \
        'zstd' 'compress to zstd' \
        'unzstd' 'decompress zstd' \
        'xz' 'compress to xz' \
        'unxz' 'decompress xz' \
        'bzip2' 'compress to bzip2' \
        'bunzip2' 'decompress bzip2' \
        'lz4' 'compress to lz4' \
        'unlz4' 'decompress lz4' \
        'brotli' 'compress to brotli' \
        'unbrotli' 'decompress brotli' \
        'decompress' 'decompress whichever format it is: gzip, zstd, xz, bzip2 or lz4' \
        'lines' 'bytes to records: one a line' \
        'from-json' 'bytes to records: JSON values' \
        'from-csv' 'bytes to records: rows of CSV as JSON objects' \
        'from-sse' 'bytes to records: server-sent events as JSON objects' \
        'to-json' 'JSON records to bytes: JSON Lines, or one array' \
        'to-csv' 'JSON records to bytes: rows of CSV' \
        'to-sse' 'records to bytes: server-sent events' \
        'where' 'keep the JSON records whose field meets a condition' \
        'select' 'keep only some fields of JSON records' \
        'drop' 'remove fields from JSON records' \
        'grep' 'keep the records in which a pattern is found' \
        'redact' 'replace what matches a pattern in records' \
        'upper' 'put the text of fields in upper case' \
        'lower' 'put the text of fields in lower case' \
        'throttle' 'pass bytes or records at a steady rate' \
        'take' 'pass the first bytes or records and end, quietly' \
        'skip' 'drop the first bytes or records and pass the rest' \
        'limit' 'fail once more than so many bytes have come' \
        'buffer' 'keep so many bytes ready between two stages' \
        'hash' 'compute a checksum of the stream, and check it' \
        'exec' 'run a program' \
        'sh' 'run a script of the shell'
end

function __highwater_parameters
    switch $argv[1]
        case read
            echo 'path='\t'what to read: a path, - or a URL; several are read in turn'
            echo 'size='\t'how much a stream is expected to give; for the time left, not a limit'
            echo 'zero-copy=true'\t'send a file\'s pages to a pipe or a socket without a copy; a later change of the file changes what was sent'
            echo 'zero-copy=false'\t'send a file\'s pages to a pipe or a socket without a copy; a later change of the file changes what was sent'
            echo 'follow=true'\t'go on with what is appended, and with the file that takes its name, until a signal; late lines of the file before are read for five minutes'
            echo 'follow=false'\t'go on with what is appended, and with the file that takes its name, until a signal; late lines of the file before are read for five minutes'
            echo 'from=start'\t'where following begins without an earlier state: at the file\'s start, or behind its last line'
            echo 'from=end'\t'where following begins without an earlier state: at the file\'s start, or behind its last line'
            echo 'state='\t'the file that notes what is durable, for the next run to go on there'
            echo 'connect-timeout='\t'how long it may take to resolve and connect'
            echo 'retry='\t'how often to try again to connect, after pauses that grow to 10s; connect-timeout= is for each attempt'
            echo 'user-timeout='\t'end a TCP connection whose peer acknowledges nothing, or has no room, for so long; by default after about 15 minutes without an acknowledgement'
            echo 'ca='\t'trust the certificate authorities of this PEM file instead of the system\'s; at a listener, ask clients for a certificate of one of them'
            echo 'cert='\t'the certificate to show to the peer, a PEM file; those that lead to its authority follow in it'
            echo 'key='\t'the certificate\'s private key, a PEM file'
            echo 'verify=true'\t'whether the server has to prove that it is the named host; false trusts anyone in between'
            echo 'verify=false'\t'whether the server has to prove that it is the named host; false trusts anyone in between'
            echo 'method='\t'the request\'s method; GET, or POST with a body'
            echo 'header='\t'a header to send, as \'NAME: VALUE\', or @FILE with one a line; those of a file are not sent to another server after a redirect'
            echo 'user='\t'@FILE whose first line is NAME:PASSWORD, to authenticate (Basic); by default what ~/.netrc or $NETRC has for the host'
            echo 'body='\t'a body to send with the request, or @FILE of up to 1 MiB'
            echo 'table='\t'the table, as NAME or SCHEMA.NAME'
            echo 'columns='\t'its columns, separated by commas; all unless given'
            echo 'query='\t'what to read instead of a table: select …, or values …'
            echo 'format=csv'\t'how rows are written: CSV, one JSON object a line, or PostgreSQL\'s own text or binary form'
            echo 'format=json'\t'how rows are written: CSV, one JSON object a line, or PostgreSQL\'s own text or binary form'
            echo 'format=text'\t'how rows are written: CSV, one JSON object a line, or PostgreSQL\'s own text or binary form'
            echo 'format=binary'\t'how rows are written: CSV, one JSON object a line, or PostgreSQL\'s own text or binary form'
            echo 'max-time='\t'end the query with exit code 8 once it has been open for so long, however slow what follows is'
            echo 'threads='\t'how many ranges are asked for, or parts sent, at once'
            echo 'range='\t'the size of a range, with threads= of 2 or more; each is kept in memory until it is given on'
            echo 'endpoint='\t'the server\'s URL; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile\'s endpoint_url, or AWS'
            echo 'region='\t'the bucket\'s region; else AWS_REGION, AWS_DEFAULT_REGION, the profile\'s, or us-east-1'
            echo 'profile='\t'the profile of ~/.aws/config and ~/.aws/credentials; else AWS_PROFILE, or default'
            echo 'style=path'\t'where URLs have the bucket: in the path, the default with an endpoint, or in front of the host, as AWS has it'
            echo 'style=host'\t'where URLs have the bucket: in the path, the default with an endpoint, or in front of the host, as AWS has it'
            echo 'imds=true'\t'whether the machine\'s metadata service may be asked for keys'
            echo 'imds=false'\t'whether the machine\'s metadata service may be asked for keys'
            echo 'as=lines'\t'what messages become: lines, a text message each; json, a text message with one value each; or bytes without boundaries, binary messages included'
            echo 'as=json'\t'what messages become: lines, a text message each; json, a text message with one value each; or bytes without boundaries, binary messages included'
            echo 'as=bytes'\t'what messages become: lines, a text message each; json, a text message with one value each; or bytes without boundaries, binary messages included'
            echo 'max-record='\t'the largest message, and one byte for its line end; 1 MiB unless given, less under a small --memory'
            echo 'origin='\t'an origin such as https://example.org whose pages may connect from a browser; by default only those of the host that is listened on, and of this machine if that is loopback'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case write
            echo 'path='\t'where to write: a path, - or a URL'
            echo 'append=true'\t'write behind what the file has; the run\'s own bytes are cut off if it fails'
            echo 'append=false'\t'write behind what the file has; the run\'s own bytes are cut off if it fails'
            echo 'clobber=true'\t'whether a file that exists may be replaced'
            echo 'clobber=false'\t'whether a file that exists may be replaced'
            echo 'sync=true'\t'whether to wait until the disk has everything'
            echo 'sync=false'\t'whether to wait until the disk has everything'
            echo 'mode='\t'permissions in octal; else the old file\'s, or what the system gives a new one'
            echo 'in-place=true'\t'empty a file that exists and write to it where it is, instead of replacing it'
            echo 'in-place=false'\t'empty a file that exists and write to it where it is, instead of replacing it'
            echo 'sparse=auto'\t'holes in the file: where the source has some, wherever blocks are zeros, or none'
            echo 'sparse=always'\t'holes in the file: where the source has some, wherever blocks are zeros, or none'
            echo 'sparse=never'\t'holes in the file: where the source has some, wherever blocks are zeros, or none'
            echo 'verify=true'\t'whether to read everything back and compare it before it takes its place'
            echo 'verify=false'\t'whether to read everything back and compare it before it takes its place'
            echo 'resume=true'\t'whether to keep what was written when the run ends early, and go on with it the next time'
            echo 'resume=false'\t'whether to keep what was written when the run ends early, and go on with it the next time'
            echo 'checkpoint='\t'with resume=true, after how many bytes, read or written, the journal is brought up to date, and every 5 s as well; 64MiB unless given'
            echo 'connect-timeout='\t'how long it may take to resolve and connect'
            echo 'retry='\t'how often to try again to connect, after pauses that grow to 10s; connect-timeout= is for each attempt'
            echo 'user-timeout='\t'end a TCP connection whose peer acknowledges nothing, or has no room, for so long; by default after about 15 minutes without an acknowledgement'
            echo 'linger='\t'how long a peer may take for the rest after the last byte was written; no limit by default'
            echo 'ca='\t'trust the certificate authorities of this PEM file instead of the system\'s; at a listener, ask clients for a certificate of one of them'
            echo 'cert='\t'the certificate to show to the peer, a PEM file; those that lead to its authority follow in it'
            echo 'key='\t'the certificate\'s private key, a PEM file'
            echo 'method=PUT'\t'the request\'s method'
            echo 'method=POST'\t'the request\'s method'
            echo 'method=PATCH'\t'the request\'s method'
            echo 'header='\t'a header to send, as \'NAME: VALUE\', or @FILE with one a line; those of a file are not sent to another server after a redirect'
            echo 'user='\t'@FILE whose first line is NAME:PASSWORD, to authenticate (Basic); by default what ~/.netrc or $NETRC has for the host'
            echo 'type='\t'what is uploaded, as Content-Type: text/csv'
            echo 'name='\t'the file name that the client is told'
            echo 'table='\t'the table, as NAME or SCHEMA.NAME'
            echo 'columns='\t'its columns, separated by commas; all unless given'
            echo 'format=csv'\t'how rows are written: CSV, one JSON object a line, or PostgreSQL\'s own text or binary form'
            echo 'format=json'\t'how rows are written: CSV, one JSON object a line, or PostgreSQL\'s own text or binary form'
            echo 'format=text'\t'how rows are written: CSV, one JSON object a line, or PostgreSQL\'s own text or binary form'
            echo 'format=binary'\t'how rows are written: CSV, one JSON object a line, or PostgreSQL\'s own text or binary form'
            echo 'commit-every='\t'commit after so many rows, which stay if a later one fails, and acknowledge them to a source that goes on there: rows behind the last acknowledged position may then come again; unless given, all are one transaction'
            echo 'threads='\t'how many ranges are asked for, or parts sent, at once'
            echo 'part='\t'the size of an upload\'s parts, 5MiB to 5GiB; larger where the object would have more than 10,000 of them'
            echo 'state='\t'a file that notes which parts the server has; they stay when the run ends early, and the next one goes on with them'
            echo 'if-absent=true'\t'fail if there is such an object, also if it comes meanwhile'
            echo 'if-absent=false'\t'fail if there is such an object, also if it comes meanwhile'
            echo 'presign='\t'print a URL at the end with which anyone may get the object for so long, up to 7d'
            echo 'endpoint='\t'the server\'s URL; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile\'s endpoint_url, or AWS'
            echo 'region='\t'the bucket\'s region; else AWS_REGION, AWS_DEFAULT_REGION, the profile\'s, or us-east-1'
            echo 'profile='\t'the profile of ~/.aws/config and ~/.aws/credentials; else AWS_PROFILE, or default'
            echo 'style=path'\t'where URLs have the bucket: in the path, the default with an endpoint, or in front of the host, as AWS has it'
            echo 'style=host'\t'where URLs have the bucket: in the path, the default with an endpoint, or in front of the host, as AWS has it'
            echo 'imds=true'\t'whether the machine\'s metadata service may be asked for keys'
            echo 'imds=false'\t'whether the machine\'s metadata service may be asked for keys'
            echo 'as=text'\t'text: each record is a text message, without its newline; binary: bytes, cut anywhere, are binary messages'
            echo 'as=binary'\t'text: each record is a text message, without its newline; binary: bytes, cut anywhere, are binary messages'
            echo 'origin='\t'an origin such as https://example.org whose pages may connect from a browser; by default only those of the host that is listened on, and of this machine if that is loopback'
        case batch
            echo 'size='\t'the most bytes of a batch'
            echo 'pipeline='\t'what runs for each batch; it ends in a sink'
            echo 'records='\t'the most records of a batch'
            echo 'every='\t'the longest time from a batch\'s first byte to its end'
            echo 'retry='\t'how often to run a batch again that has failed for a reason that may pass; needs spool='
            echo 'spool='\t'the folder where a batch is kept until it is committed, for retry='
        case tee
            echo 'branch='\t'a pipeline that gets the stream as well, and ends in a sink'
            echo 'when-full=wait'\t'whether a full branch holds the others up, or loses records; bytes are never dropped'
            echo 'when-full=drop'\t'whether a full branch holds the others up, or loses records; bytes are never dropped'
            echo 'on-failure=abort'\t'whether a branch that fails ends the run, or the others go on'
            echo 'on-failure=continue'\t'whether a branch that fails ends the run, or the others go on'
            echo 'optional=true'\t'exit with 0 although a branch failed; the others go on'
            echo 'optional=false'\t'exit with 0 although a branch failed; the others go on'
            echo 'detach='\t'detach a branch that accepts nothing for so long: exit 8 at the end, or 0 with optional=true'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case gzip
            echo 'level=1'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=2'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=3'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=4'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=5'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=6'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=7'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=8'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=9'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=10'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=11'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'level=12'\t'1 is fastest, 12 is smallest; from 10 on it is far slower'
            echo 'threads='\t'compress on so many threads; else on all processors, as far as --memory allows'
            echo 'member='\t'bytes of input in a member; else 384KiB, or 256KiB where --memory is tight, and 64KiB from level 10 on'
            echo 'single=true'\t'one member, for readers that know no more'
            echo 'single=false'\t'one member, for readers that know no more'
            echo 'flush='\t'flush after this time without input; a steady stream is never flushed'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case gunzip
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case zstd
            echo 'level=-7'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=-6'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=-5'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=-4'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=-3'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=-2'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=-1'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=0'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=1'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=2'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=3'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=4'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=5'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=6'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=7'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=8'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=9'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=10'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=11'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=12'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=13'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=14'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=15'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=16'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=17'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=18'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=19'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=20'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=21'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'level=22'\t'1 is fast, 19 is small, 22 is smallest; 0 stands for 3'
            echo 'threads='\t'compress on so many threads; each takes its own share of memory'
            echo 'window='\t'how far back repetitions are looked for; a power of two up to 2GiB. Above the level\'s own it takes as much more memory here, and above 128MiB more than decoders give without being asked'
            echo 'frame='\t'bytes of input in each of several frames; else one frame, or with resume=true 4MiB or two windows each'
            echo 'flush='\t'flush after this time without input; a steady stream is never flushed'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case unzstd
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case xz
            echo 'level=0'\t'0 is fastest, 9 is smallest'
            echo 'level=1'\t'0 is fastest, 9 is smallest'
            echo 'level=2'\t'0 is fastest, 9 is smallest'
            echo 'level=3'\t'0 is fastest, 9 is smallest'
            echo 'level=4'\t'0 is fastest, 9 is smallest'
            echo 'level=5'\t'0 is fastest, 9 is smallest'
            echo 'level=6'\t'0 is fastest, 9 is smallest'
            echo 'level=7'\t'0 is fastest, 9 is smallest'
            echo 'level=8'\t'0 is fastest, 9 is smallest'
            echo 'level=9'\t'0 is fastest, 9 is smallest'
            echo 'threads='\t'compress on so many threads; each takes its own share of memory'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case unxz
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case bzip2
            echo 'level=1'\t'1 takes least memory, 9 is smallest'
            echo 'level=2'\t'1 takes least memory, 9 is smallest'
            echo 'level=3'\t'1 takes least memory, 9 is smallest'
            echo 'level=4'\t'1 takes least memory, 9 is smallest'
            echo 'level=5'\t'1 takes least memory, 9 is smallest'
            echo 'level=6'\t'1 takes least memory, 9 is smallest'
            echo 'level=7'\t'1 takes least memory, 9 is smallest'
            echo 'level=8'\t'1 takes least memory, 9 is smallest'
            echo 'level=9'\t'1 takes least memory, 9 is smallest'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case bunzip2
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case lz4
            echo 'level=1'\t'1 is fastest, 12 is smallest'
            echo 'level=2'\t'1 is fastest, 12 is smallest'
            echo 'level=3'\t'1 is fastest, 12 is smallest'
            echo 'level=4'\t'1 is fastest, 12 is smallest'
            echo 'level=5'\t'1 is fastest, 12 is smallest'
            echo 'level=6'\t'1 is fastest, 12 is smallest'
            echo 'level=7'\t'1 is fastest, 12 is smallest'
            echo 'level=8'\t'1 is fastest, 12 is smallest'
            echo 'level=9'\t'1 is fastest, 12 is smallest'
            echo 'level=10'\t'1 is fastest, 12 is smallest'
            echo 'level=11'\t'1 is fastest, 12 is smallest'
            echo 'level=12'\t'1 is fastest, 12 is smallest'
            echo 'flush='\t'flush after this time without input; a steady stream is never flushed'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case unlz4
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case brotli
            echo 'level=0'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=1'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=2'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=3'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=4'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=5'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=6'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=7'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=8'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=9'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=10'\t'0 is fastest, 11 is smallest and slow'
            echo 'level=11'\t'0 is fastest, 11 is smallest and slow'
            echo 'flush='\t'flush after this time without input; a steady stream is never flushed'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case unbrotli
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case decompress
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case lines
            echo 'max-record='\t'the largest record, with its line end; 1 MiB unless given, less under a small --memory'
            echo 'long=fail'\t'whether a record above max-record ends the run with exit code 7, or is dropped and counted'
            echo 'long=skip'\t'whether a record above max-record ends the run with exit code 7, or is dropped and counted'
            echo 'reject='\t'a file for the records that were dropped, as they came'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case from-json
            echo 'items=true'\t'whether the input is one array, and its items are the records'
            echo 'items=false'\t'whether the input is one array, and its items are the records'
            echo 'max-record='\t'the largest record, with its line end; 1 MiB unless given, less under a small --memory'
            echo 'long=fail'\t'whether a record above max-record ends the run with exit code 7, or is dropped and counted'
            echo 'long=skip'\t'whether a record above max-record ends the run with exit code 7, or is dropped and counted'
            echo 'bad=fail'\t'whether a bad record ends the run with exit code 6, or is dropped and counted'
            echo 'bad=skip'\t'whether a bad record ends the run with exit code 6, or is dropped and counted'
            echo 'reject='\t'a file for the records that were dropped, as they came'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case from-csv
            echo 'delimiter='\t'what separates fields: one ASCII character, or tab'
            echo 'header=true'\t'whether the first row has the names of the columns'
            echo 'header=false'\t'whether the first row has the names of the columns'
            echo 'columns='\t'the names of the columns, with commas between them'
            echo 'types=text'\t'whether every field is a string, or what looks like a number, true, false or null is that'
            echo 'types=infer'\t'whether every field is a string, or what looks like a number, true, false or null is that'
            echo 'max-record='\t'the largest record, with its line end; 1 MiB unless given, less under a small --memory'
            echo 'long=fail'\t'whether a record above max-record ends the run with exit code 7, or is dropped and counted'
            echo 'long=skip'\t'whether a record above max-record ends the run with exit code 7, or is dropped and counted'
            echo 'bad=fail'\t'whether a bad record ends the run with exit code 6, or is dropped and counted'
            echo 'bad=skip'\t'whether a bad record ends the run with exit code 6, or is dropped and counted'
            echo 'reject='\t'a file for the records that were dropped, as they came'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case from-sse
            echo 'data=text'\t'whether data is always a string, or with json an object or array where it is one'
            echo 'data=json'\t'whether data is always a string, or with json an object or array where it is one'
            echo 'max-record='\t'the largest record, with its line end; 1 MiB unless given, less under a small --memory'
            echo 'long=fail'\t'whether a record above max-record ends the run with exit code 7, or is dropped and counted'
            echo 'long=skip'\t'whether a record above max-record ends the run with exit code 7, or is dropped and counted'
            echo 'bad=fail'\t'whether an event that the end of the stream cuts off ends the run with exit code 6, or is dropped and counted'
            echo 'bad=skip'\t'whether an event that the end of the stream cuts off ends the run with exit code 6, or is dropped and counted'
            echo 'reject='\t'a file for the records that were dropped, as they came'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case to-json
            echo 'array=true'\t'whether to write one array'
            echo 'array=false'\t'whether to write one array'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case to-csv
            echo 'columns='\t'the names of the columns, with commas between them'
            echo 'delimiter='\t'what separates fields: one ASCII character, or tab'
            echo 'bad=fail'\t'whether a bad record ends the run with exit code 6, or is dropped and counted'
            echo 'bad=skip'\t'whether a bad record ends the run with exit code 6, or is dropped and counted'
            echo 'reject='\t'a file for the records that were dropped, as they came'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case to-sse
            echo 'keep-alive='\t'send a comment after this time without a record, and again; 0s for none'
            echo 'bad=fail'\t'whether a bad record ends the run with exit code 6, or is dropped and counted'
            echo 'bad=skip'\t'whether a bad record ends the run with exit code 6, or is dropped and counted'
            echo 'reject='\t'a file for the records that were dropped, as they came'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case where
            echo 'condition='\t'FIELD OP VALUE, quoted as one word'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case select
            echo 'field='\t'the name of a field, with dots between the names of nested ones'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case drop
            echo 'field='\t'the name of a field, with dots between the names of nested ones'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case grep
            echo 'pattern='\t'a regular expression, or with fixed=true a text'
            echo 'invert=true'\t'whether to keep the records in which it is not found'
            echo 'invert=false'\t'whether to keep the records in which it is not found'
            echo 'field='\t'the field of JSON records in whose text it is looked for; any number of them'
            echo 'fixed=true'\t'whether the pattern is a text'
            echo 'fixed=false'\t'whether the pattern is a text'
            echo 'threads='\t'search on so many threads; each takes its own share of memory'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case redact
            echo 'pattern='\t'a regular expression, or email, ipv4, ipv6, card or phone'
            echo 'with='\t'what stands there instead'
            echo 'field='\t'the field of JSON records in whose text it is looked for; any number of them'
            echo 'threads='\t'search on so many threads; each takes its own share of memory'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case upper
            echo 'field='\t'the name of a field, with dots between the names of nested ones'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case lower
            echo 'field='\t'the name of a field, with dots between the names of nested ones'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case throttle
            echo 'rate='\t'bytes or records per second'
            echo 'burst='\t'how much a pause may earn, passed at once afterwards'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case take
            echo 'size='\t'how many bytes to pass'
            echo 'records='\t'how many records, instead of bytes'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case skip
            echo 'size='\t'how many bytes to drop'
            echo 'records='\t'how many records, instead of bytes'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case limit
            echo 'size='\t'how many bytes may come'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case buffer
            echo 'size='\t'how many bytes to keep; the high-water mark of the link behind, unless high= says otherwise'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case hash
            echo 'algo=sha256'\t'the algorithm; crc32c and md5 detect accidents, not forgeries'
            echo 'algo=sha512'\t'the algorithm; crc32c and md5 detect accidents, not forgeries'
            echo 'algo=blake3'\t'the algorithm; crc32c and md5 detect accidents, not forgeries'
            echo 'algo=crc32c'\t'the algorithm; crc32c and md5 detect accidents, not forgeries'
            echo 'algo=md5'\t'the algorithm; crc32c and md5 detect accidents, not forgeries'
            echo 'expect='\t'the expected checksum: HEX, ALGO:HEX, or @FILE with it'
            echo 'label='\t'what to call the stream, here and in files of sums; - unless given'
            echo 'to='\t'a file to write the sum to, as sha256sum does, once the sink has everything'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case exec
            echo 'program='\t'a program of PATH or its path, and its arguments, which are passed as they are'
            echo 'env='\t'a variable of its environment, env=NAME=VALUE; any number of them'
            echo 'dir='\t'the folder in which it runs'
            echo 'grace='\t'how long it may take to end after SIGTERM, before SIGKILL'
            echo 'tty=true'\t'whether it may use the terminal, as programs do that ask for a password'
            echo 'tty=false'\t'whether it may use the terminal, as programs do that ask for a password'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
        case sh
            echo 'script='\t'what `sh -c` runs, and what it knows as $1, $2, …'
            echo 'env='\t'a variable of its environment, env=NAME=VALUE; any number of them'
            echo 'dir='\t'the folder in which it runs'
            echo 'grace='\t'how long it may take to end after SIGTERM, before SIGKILL'
            echo 'tty=true'\t'whether it may use the terminal, as programs do that ask for a password'
            echo 'tty=false'\t'whether it may use the terminal, as programs do that ask for a password'
            echo 'high='\t'high-water mark of the link behind this stage'
            echo 'low='\t'low-water mark of that link; half of high unless given'
            echo 'high-records='\t'high-water mark of that link in records, beside the one in bytes; none unless given'
            echo 'low-records='\t'low-water mark of that link in records; half of high-records unless given'
    end
end

# The words of the command line before the cursor's from the pipeline on; fails where there is no pipeline yet.
function __highwater_words
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case explain
            case demo ctl report generate stages check
                return 1
            case '-*'
                contains -- $words[1] --memory --chunk --max-rss --progress --interval --color --metrics --log --stats --record --timeout --stall-timeout --drain --min-rate --min-rate-grace; and set -e words[1]
            case '*'
                break
        end
        set -q words[1]; or return 1
        set -e words[1]
    end
    string join -- \n $words
    return 0
end

# What can stand at the end of a stage. $argv[1]: whether it is the first; the others: its words so far.
function __highwater_stage
    if not set -q argv[2]
        set -l names write batch tee gzip gunzip zstd unzstd xz unxz bzip2 bunzip2 lz4 unlz4 brotli unbrotli decompress lines from-json from-csv from-sse to-json to-csv to-sse where select drop grep redact upper lower throttle take skip limit buffer hash exec sh
        test $argv[1] = yes; and set names read tee gzip gunzip zstd unzstd xz unxz bzip2 bunzip2 lz4 unlz4 brotli unbrotli decompress lines from-json from-csv from-sse to-json to-csv to-sse where select drop grep redact upper lower throttle take skip limit buffer hash exec sh
        for line in (__highwater_stages)
            contains -- (string split -f 1 \t -- $line) $names; and echo $line
        end
        return
    end
    __highwater_parameters $argv[2]
end

function __highwater_pipeline
    set -l words (__highwater_words); or return
    set -l token (commandline -ct)
    if string match -qr '^[\'"]' -- $token
        # Inside quotes: what is answered begins with all of the word.
        set -q words[1]; and return
        set -l text (string sub -s 2 -- $token)
        set -l head (string replace -r '[^\s|]*$' '' -- $text)
        set -l stage (string trim -- (string replace -r '^.*\|' '' -- $head))
        set -l is_first yes
        string match -q '*|*' -- $head; and set is_first no
        __highwater_stage $is_first (string split -n ' ' -- $stage) | string replace -r '^' -- (string escape --style=regex -- $head | string replace -ra '\\\\(.)' '$1')
        return
    end
    set -l is_first yes
    set -l stage
    for word in $words
        if test "$word" = '::'
            set is_first no
            set stage
        else
            set -a stage $word
        end
    end
    __highwater_stage $is_first $stage
    if contains -- "$stage[1]" read write
        printf '%s\n' file: - tcp:// tcp-listen:// tls:// tls-listen:// http:// https:// http-listen:// postgres:// s3:// ws:// wss:// ws-listen:// unix: unix-listen:
    end
end

complete -c highwater -k -n '__highwater_words >/dev/null' -a '(__highwater_pipeline)'
complete -c highwater -k -n '__fish_seen_subcommand_from stages' -f -a '(__highwater_stages)'

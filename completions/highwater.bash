_highwater() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="highwater"
                ;;
            highwater,attach)
                cmd="highwater__subcmd__attach"
                ;;
            highwater,check)
                cmd="highwater__subcmd__check"
                ;;
            highwater,ctl)
                cmd="highwater__subcmd__ctl"
                ;;
            highwater,demo)
                cmd="highwater__subcmd__demo"
                ;;
            highwater,explain)
                cmd="highwater__subcmd__explain"
                ;;
            highwater,generate)
                cmd="highwater__subcmd__generate"
                ;;
            highwater,report)
                cmd="highwater__subcmd__report"
                ;;
            highwater,serve)
                cmd="highwater__subcmd__serve"
                ;;
            highwater,stages)
                cmd="highwater__subcmd__stages"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        highwater)
            opts="-q -h -V --memory --chunk --max-rss --ignore-backpressure --progress --quiet --interval --color --metrics --log --stats --record --timeout --stall-timeout --drain --min-rate --min-rate-grace --help --version demo stages explain ctl report attach serve check generate"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --memory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --chunk)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-rss)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --progress)
                    COMPREPLY=($(compgen -W "auto live plain json none" -- "${cur}"))
                    return 0
                    ;;
                --interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                --metrics)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log)
                    COMPREPLY=($(compgen -W "error warn info debug trace" -- "${cur}"))
                    return 0
                    ;;
                --stats)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --record)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stall-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drain)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-rate)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-rate-grace)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        highwater__subcmd__attach)
            opts="-h --once --progress --interval --color --metrics --stats --record --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --progress)
                    COMPREPLY=($(compgen -W "auto live plain json none" -- "${cur}"))
                    return 0
                    ;;
                --interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                --metrics)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stats)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --record)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        highwater__subcmd__check)
            opts="-h --rate --seconds --max-rss --max-disk --input --input-kind --pid --clients --header --method --body --record --json --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --rate)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-rss)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-disk)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --input)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --input-kind)
                    COMPREPLY=($(compgen -W "lines json csv" -- "${cur}"))
                    return 0
                    ;;
                --pid)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --clients)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --header)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --method)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --body)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --record)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        highwater__subcmd__ctl)
            opts="-h --help set pause resume stats"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        highwater__subcmd__demo)
            opts="-h --records --seconds --report --ascii --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --seconds)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --report)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        highwater__subcmd__explain)
            opts="-q -h --memory --chunk --max-rss --ignore-backpressure --progress --quiet --interval --color --metrics --log --stats --record --timeout --stall-timeout --drain --min-rate --min-rate-grace --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --memory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --chunk)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-rss)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --progress)
                    COMPREPLY=($(compgen -W "auto live plain json none" -- "${cur}"))
                    return 0
                    ;;
                --interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                --metrics)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log)
                    COMPREPLY=($(compgen -W "error warn info debug trace" -- "${cur}"))
                    return 0
                    ;;
                --stats)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --record)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stall-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drain)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-rate)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-rate-grace)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        highwater__subcmd__generate)
            opts="-h --to --help all man completions readme picture"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --to)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        highwater__subcmd__report)
            opts="-o -h --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --output)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -o)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        highwater__subcmd__serve)
            opts="-q -h --route --header --name --host --cert --key --memory --run-memory --max-clients --route-clients --queue-timeout --per-address --min-rate --min-rate-grace --stall-timeout --timeout --drain --access-log --metrics --progress --quiet --interval --color --log --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --route)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --header)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --host)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --memory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --run-memory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-clients)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --route-clients)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --queue-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --per-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-rate)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-rate-grace)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stall-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drain)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --access-log)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --progress)
                    COMPREPLY=($(compgen -W "auto live plain json none" -- "${cur}"))
                    return 0
                    ;;
                --interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                --log)
                    COMPREPLY=($(compgen -W "error warn info debug trace" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        highwater__subcmd__stages)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _highwater -o nosort -o bashdefault -o default highwater
else
    complete -F _highwater -o bashdefault -o default highwater
fi

# Stages and their parameters, in the :: form and inside a quoted pipeline.

# The words that a stage takes.
_highwater_parameters() {
    case $1 in
        read) echo 'path= path=ENDPOINT size= size=SIZE zero-copy=true zero-copy=false follow=true follow=false from=start from=end state= state=WORD connect-timeout= connect-timeout=DURATION retry= retry=0.. user-timeout= user-timeout=DURATION ca= ca=ENDPOINT cert= cert=ENDPOINT key= key=ENDPOINT verify=true verify=false method= method=TEXT header= header=WORD user= user=WORD body= body=WORD table= table=TEXT columns= columns=TEXT query= query=TEXT format=csv format=json format=text format=binary max-time= max-time=DURATION threads= threads=1..64 range= range=SIZE endpoint= endpoint=TEXT region= region=TEXT profile= profile=TEXT style=path style=host imds=true imds=false as=lines as=json as=bytes max-record= max-record=SIZE origin= origin=TEXT high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        write) echo 'path= path=ENDPOINT append=true append=false clobber=true clobber=false sync=true sync=false mode= mode=TEXT in-place=true in-place=false sparse=auto sparse=always sparse=never verify=true verify=false resume=true resume=false checkpoint= checkpoint=SIZE connect-timeout= connect-timeout=DURATION retry= retry=0.. user-timeout= user-timeout=DURATION linger= linger=DURATION ca= ca=ENDPOINT cert= cert=ENDPOINT key= key=ENDPOINT method=PUT method=POST method=PATCH header= header=WORD user= user=WORD type= type=TEXT name= name=TEXT table= table=TEXT columns= columns=TEXT format=csv format=json format=text format=binary commit-every= commit-every=1.. threads= threads=1..64 part= part=SIZE state= state=ENDPOINT if-absent=true if-absent=false presign= presign=DURATION endpoint= endpoint=TEXT region= region=TEXT profile= profile=TEXT style=path style=host imds=true imds=false as=text as=binary origin= origin=TEXT' ;;
        batch) echo 'size= size=SIZE pipeline= pipeline=PIPELINE records= records=1.. every= every=DURATION retry= retry=1.. spool= spool=WORD' ;;
        tee) echo 'branch= branch=PIPELINE when-full=wait when-full=drop on-failure=abort on-failure=continue optional=true optional=false detach= detach=DURATION high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        gzip) echo 'level=1 level=2 level=3 level=4 level=5 level=6 level=7 level=8 level=9 level=10 level=11 level=12 threads= threads=1..64 member= member=SIZE single=true single=false flush= flush=DURATION high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        gunzip) echo 'high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        zstd) echo 'level=-7 level=-6 level=-5 level=-4 level=-3 level=-2 level=-1 level=0 level=1 level=2 level=3 level=4 level=5 level=6 level=7 level=8 level=9 level=10 level=11 level=12 level=13 level=14 level=15 level=16 level=17 level=18 level=19 level=20 level=21 level=22 threads= threads=1..64 window= window=SIZE frame= frame=SIZE flush= flush=DURATION high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        unzstd) echo 'high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        xz) echo 'level=0 level=1 level=2 level=3 level=4 level=5 level=6 level=7 level=8 level=9 threads= threads=1..64 high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        unxz) echo 'high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        bzip2) echo 'level=1 level=2 level=3 level=4 level=5 level=6 level=7 level=8 level=9 high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        bunzip2) echo 'high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        lz4) echo 'level=1 level=2 level=3 level=4 level=5 level=6 level=7 level=8 level=9 level=10 level=11 level=12 flush= flush=DURATION high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        unlz4) echo 'high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        brotli) echo 'level=0 level=1 level=2 level=3 level=4 level=5 level=6 level=7 level=8 level=9 level=10 level=11 flush= flush=DURATION high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        unbrotli) echo 'high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        decompress) echo 'high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        lines) echo 'max-record= max-record=SIZE long=fail long=skip reject= reject=ENDPOINT high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        from-json) echo 'items=true items=false max-record= max-record=SIZE long=fail long=skip bad=fail bad=skip reject= reject=ENDPOINT high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        from-csv) echo 'delimiter= delimiter=WORD header=true header=false columns= columns=WORD types=text types=infer max-record= max-record=SIZE long=fail long=skip bad=fail bad=skip reject= reject=ENDPOINT high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        from-sse) echo 'data=text data=json max-record= max-record=SIZE long=fail long=skip bad=fail bad=skip reject= reject=ENDPOINT high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        to-json) echo 'array=true array=false high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        to-csv) echo 'columns= columns=WORD delimiter= delimiter=WORD bad=fail bad=skip reject= reject=ENDPOINT high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        to-sse) echo 'keep-alive= keep-alive=DURATION bad=fail bad=skip reject= reject=ENDPOINT high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        where) echo 'condition= condition=TEXT high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        select) echo 'field= field=WORD high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        drop) echo 'field= field=WORD high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        grep) echo 'pattern= pattern=WORD invert=true invert=false field= field=WORD fixed=true fixed=false threads= threads=1..64 high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        redact) echo 'pattern= pattern=TEXT with= with=TEXT field= field=WORD threads= threads=1..64 high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        upper) echo 'field= field=WORD high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        lower) echo 'field= field=WORD high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        throttle) echo 'rate= rate=RATE burst= burst=SIZE high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        take) echo 'size= size=SIZE records= records=0.. high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        skip) echo 'size= size=SIZE records= records=0.. high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        limit) echo 'size= size=SIZE high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        buffer) echo 'size= size=SIZE high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        hash) echo 'algo=sha256 algo=sha512 algo=blake3 algo=crc32c algo=md5 expect= expect=TEXT label= label=TEXT to= to=ENDPOINT high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        exec) echo 'program= program=WORD env= env=WORD dir= dir=WORD grace= grace=DURATION tty=true tty=false high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
        sh) echo 'script= script=WORD env= env=WORD dir= dir=WORD grace= grace=DURATION tty=true tty=false high= high=SIZE low= low=SIZE high-records= high-records=1.. low-records= low-records=0..' ;;
    esac
}

# Puts into COMPREPLY what can stand at the end of a stage. $1: the stage so far; $2: whether it is the first;
# $3: the word at its end.
_highwater_stage() {
    local stage=$1 is_first=$2 word=$3 name
    read -r name _ <<< "$stage"
    if [[ -z $name || ( $name == "$word" && $stage != *[[:space:]] ) ]]; then
        local names='write batch tee gzip gunzip zstd unzstd xz unxz bzip2 bunzip2 lz4 unlz4 brotli unbrotli decompress lines from-json from-csv from-sse to-json to-csv to-sse where select drop grep redact upper lower throttle take skip limit buffer hash exec sh'
        [[ $is_first == yes ]] && names='read tee gzip gunzip zstd unzstd xz unxz bzip2 bunzip2 lz4 unlz4 brotli unbrotli decompress lines from-json from-csv from-sse to-json to-csv to-sse where select drop grep redact upper lower throttle take skip limit buffer hash exec sh'
        # By topic.
        compopt -o nosort 2> /dev/null
        COMPREPLY=($(compgen -W "$names" -- "$word"))
        return
    fi
    COMPREPLY=($(compgen -W "$(_highwater_parameters "$name")" -- "$word"))
    if [[ $name == read || $name == write ]]; then
        local path
        while IFS= read -r path; do
            [[ -d $path ]] && path+=/
            COMPREPLY+=("$path")
        done < <(compgen -f -- "${word#path=}")
        COMPREPLY+=($(compgen -W 'file: - tcp:// tcp-listen:// tls:// tls-listen:// http:// https:// http-listen:// postgres:// s3:// ws:// wss:// ws-listen:// unix: unix-listen:' -- "$word"))
    fi
}

# Inside quotes: $1 is the pipeline so far. What is answered begins with all of it.
_highwater_quoted() {
    local pipeline=$1 is_first=yes word head at
    local stage=${pipeline##*|}
    [[ $pipeline == *'|'* ]] && is_first=no
    word=${stage##*[[:space:]]}
    head=${pipeline%"$word"}
    _highwater_stage "$stage" "$is_first" "$word"
    # The only answer would close the quote; a second one that begins alike keeps it open.
    if [[ ${#COMPREPLY[@]} -eq 1 ]]; then
        COMPREPLY+=("${COMPREPLY[0]} |")
    fi
    for at in "${!COMPREPLY[@]}"; do
        COMPREPLY[at]=$head${COMPREPLY[at]}
    done
    compopt -o nospace 2> /dev/null
}

_highwater_with_stages() {
    local line=${COMP_LINE:0:COMP_POINT} current=$2
    COMPREPLY=()
    # A quote that is open.
    if [[ $line =~ ^[^\'\"]*[\'\"]([^\'\"]*)$ ]]; then
        _highwater_quoted "${BASH_REMATCH[1]}"
        return
    fi
    local -a words
    read -ra words <<< "$line"
    local word=
    if [[ $line != *[[:space:]] ]]; then
        word=${words[${#words[@]} - 1]}
        unset 'words[${#words[@]} - 1]'
    fi
    # Where the pipeline begins: at the first word that is no option, nor the value of one.
    local at=1 is_explain=no
    while [[ $at -lt ${#words[@]} ]]; do
        case ${words[at]} in
            explain) is_explain=yes ;;
            -*) [[ " --memory --chunk --max-rss --progress --interval --color --metrics --log --stats --record --timeout --stall-timeout --drain --min-rate --min-rate-grace " == *" ${words[at]} "* ]] && at=$((at + 1)) ;;
            *) break ;;
        esac
        at=$((at + 1))
    done
    case ${words[at]-} in
        stages)
            COMPREPLY=($(compgen -W 'read write batch tee gzip gunzip zstd unzstd xz unxz bzip2 bunzip2 lz4 unlz4 brotli unbrotli decompress lines from-json from-csv from-sse to-json to-csv to-sse where select drop grep redact upper lower throttle take skip limit buffer hash exec sh' -- "$word"))
            return
            ;;
        demo | ctl | report | generate | check | \'* | \"*)
            _highwater "$@"
            return
            ;;
        '')
            # The first word of a pipeline, or an option or its value.
            if [[ $at -gt ${#words[@]} || $word == -* ]]; then
                _highwater "$@"
                return
            fi
            local -a others=()
            if [[ $is_explain == no ]]; then
                _highwater "$@"
                [[ -n $word ]] && others=("${COMPREPLY[@]}")
            fi
            _highwater_stage '' yes "$word"
            COMPREPLY+=("${others[@]}")
            return
            ;;
    esac
    local stage= is_first=yes part
    for part in "${words[@]:at}"; do
        if [[ $part == :: ]]; then
            stage= is_first=no
        else
            stage+="$part "
        fi
    done
    _highwater_stage "$stage$word" "$is_first" "$word"
    # Where bash parts words (at = and :), what stands before is not answered again.
    local before=${word%"$current"}
    for at in "${!COMPREPLY[@]}"; do
        [[ ${COMPREPLY[at]} == *[=/] ]] && compopt -o nospace 2> /dev/null
        COMPREPLY[at]=${COMPREPLY[at]#"$before"}
    done
}

complete -F _highwater_with_stages -o bashdefault -o default highwater

    # Stages and their parameters, in the :: form.
    $parameters = @{
@PARAMETERS@
    }
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    if ($wordToComplete -ne '' -and $words.Count -gt 0) {
        $words = @($words | Select-Object -SkipLast 1)
    }
    $stage = @()
    $names = '@FIRST@'
    foreach ($word in $words) {
        if ($word -eq '::') {
            $stage = @()
            $names = '@LATER@'
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

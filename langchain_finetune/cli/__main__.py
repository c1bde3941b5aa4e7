"""`python -m langchain_finetune.cli`."""

from langchain_finetune.cli.start import main

if __name__ == "__main__":
    main()

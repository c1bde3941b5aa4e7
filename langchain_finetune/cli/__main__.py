"""`python -m langchain_finetune.cli`."""

from langchain_finetune.cli.app import main

if __name__ == "__main__":
    main()

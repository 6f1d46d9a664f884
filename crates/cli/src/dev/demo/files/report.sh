#!/bin/bash
#SBATCH --job-name=report --mem=100M --time=1 --output=report.out

echo "The three best of $(cat sweep-*.out | wc -l) learning rates:"
echo "rate loss"
sort -g -k2 sweep-*.out | head -3
